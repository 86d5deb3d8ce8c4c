//! The default profile's system calls, in groups.
//!
//! Owns the lists; what depends on an argument (clone, socket, socketpair, ioctl, personality) is written in the parent
//! module. They follow podman's default with three differences, all towards less: no keyring, no namespaces or mounts
//! without CAP_SYS_ADMIN, and only the native architecture's calls. The surprise: a call that is in no list gets
//! ENOSYS, as if the kernel were older, so [`REFUSED`] is for the calls whose refusal should be seen as one.

use crate::spec::capabilities::bit;

/// Allowed in every container.
pub const ALLOWED: &[&str] = &[
    // Descriptors: reading, writing, positions, locks.
    "close close_range copy_file_range dup dup2 dup3 fadvise64 fallocate fcntl fdatasync flock fsync ftruncate \
     lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile splice sync \
     sync_file_range syncfs tee truncate write writev",
    // Paths. mknod is held back by the user namespace: only FIFOs, sockets and overlay whiteouts can be made.
    "access cachestat chdir creat faccessat faccessat2 fchdir fstat fstatfs getcwd getdents getdents64 link linkat \
     lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat rename \
     renameat renameat2 rmdir stat statfs statx symlink symlinkat unlink unlinkat",
    // Owners, modes, times, extended attributes.
    "chmod chown fchmod fchmodat fchmodat2 fchown fchownat fgetxattr file_getattr file_setattr flistxattr \
     fremovexattr fsetxattr futimesat getxattr getxattrat lchown lgetxattr listxattr listxattrat llistxattr \
     lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat umask utime utimensat utimes",
    // What /proc/self/mountinfo and /proc/self/attr say as well.
    "listmount lsm_get_self_attr lsm_list_modules statmount",
    // Waiting for descriptors and files.
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 fanotify_mark \
     inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll pselect6 select signalfd signalfd4 \
     timerfd_create timerfd_gettime timerfd_settime",
    // The old asynchronous I/O; databases use it.
    "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    // Memory.
    "brk get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mlock mlock2 \
     mlockall mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect \
     remap_file_pages set_mempolicy set_mempolicy_home_node",
    // Processes and threads. A tracer can't lift its tracee's filter: since Linux 4.8 it is run after the tracer's
    // changes.
    "arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv \
     futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getsid gettid kill modify_ldt \
     pidfd_getfd pidfd_open pidfd_send_signal prctl process_mrelease process_vm_readv process_vm_writev ptrace \
     restart_syscall riscv_flush_icache riscv_hwprobe rseq set_robust_list set_thread_area set_tid_address setpgid \
     setsid sysinfo tgkill times tkill uname vfork wait4 waitid",
    // A process may always confine itself further.
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    // Limits, priorities, scheduling.
    "getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max sched_get_priority_min \
     sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity \
     sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit",
    // Signals.
    "alarm getitimer pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
     rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack",
    // Time; setting it needs CAP_SYS_TIME over the host, adjtimex is read by NTP tools.
    "adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time timer_create \
     timer_delete timer_getoverrun timer_gettime timer_settime",
    // Ids.
    "getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid \
     setresgid setresuid setreuid setuid",
    // System V IPC and POSIX queues: the IPC namespace is the container's own.
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl \
     semget semop semtimedop shmat shmctl shmdt shmget",
    // Sockets; which families can be made is decided where they are made.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg \
     sendmsg sendto setsockopt shutdown",
    "getrandom",
];

/// Allowed to a container that has any of these capabilities, refused with EPERM to others. The kernel asks for the
/// same capability; the filter keeps the code before that question out of reach.
pub const BY_CAPABILITY: &[(u64, &str)] = &[
    // Mounts and namespaces: with them everything else of the kernel that asks for privilege in a user namespace is in
    // reach.
    (
        bit("SYS_ADMIN"),
        "fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root setns \
     umount2 unshare",
    ),
    (bit("SYS_ADMIN"), "fanotify_init lookup_dcookie quotactl quotactl_fd setdomainname sethostname"),
    (bit("SYS_ADMIN") | bit("BPF"), "bpf"),
    (bit("SYS_ADMIN") | bit("PERFMON"), "perf_event_open"),
    (bit("SYS_ADMIN") | bit("SYSLOG"), "syslog"),
    // Handles name files outside of every mount (the "shocker" escape of 2014).
    (bit("DAC_READ_SEARCH"), "open_by_handle_at"),
    (bit("SYS_BOOT"), "reboot"),
    (bit("SYS_CHROOT"), "chroot"),
    (bit("SYS_MODULE"), "delete_module finit_module init_module"),
    (bit("SYS_NICE"), "migrate_pages move_pages"),
    (bit("SYS_PACCT"), "acct"),
    // ptrace itself is in every container's list; these two see more than one's own children.
    (bit("SYS_PTRACE"), "kcmp process_madvise"),
    (bit("SYS_RAWIO"), "ioperm iopl"),
    (bit("SYS_TIME"), "clock_settime settimeofday"),
    (bit("SYS_TTY_CONFIG"), "vhangup"),
];

/// Refused with EPERM whatever the capabilities.
pub const REFUSED: &[&str] = &[
    // io_uring's requests pass no filter, and it had more exploits than any other part of the kernel in its years.
    "io_uring_enter io_uring_register io_uring_setup",
    // Keyrings are not divided by namespaces: the container would find the caller's keys in them.
    "add_key keyctl request_key",
    // Handling page faults in user space, and pages given to a pipe: tools of exploits, seldom of programs.
    "userfaultfd vmsplice",
    // The whole machine's, whoever asks.
    "kexec_file_load kexec_load swapoff swapon",
    // Relics.
    "sysfs uselib ustat",
];

/// Numbers of calls that the oldest libseccomp in use has no name for. From 424 on a call has one number on all
/// architectures.
pub const NEWER: &[(&str, i32)] = &[
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
];
