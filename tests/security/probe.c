/*
 * Makes the calls that a container's filter must refuse, and a few that it must allow. Prints one line a call: its
 * name, a tab and the errno, 0 for success. Arguments are chosen so that the kernel, if a call gets to it, changes
 * nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Set in the upper half of an argument that the kernel reads as an int. */
#define HIGH (0xdeadbeefUL << 32)

/* From 424 on a call has one number on every architecture. */
#define NR_IO_URING_SETUP 425
#define NR_IO_URING_ENTER 426
#define NR_IO_URING_REGISTER 427
#define NR_OPEN_TREE 428
#define NR_FSOPEN 430
#define NR_CLONE3 435
#define NR_MSEAL 462

#define NEWUSER 0x10000000UL
#define TIOCSTI 0x5412UL
#define TIOCLINUX 0x541cUL

static void say(const char *name, long answer)
{
	printf("%s\t%d\n", name, answer < 0 ? errno : 0);
	fflush(stdout);
}

#define CALL(name, ...) say(name, syscall(__VA_ARGS__))

/* A call that makes a process when it is allowed. */
static void call_clone(const char *name, unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	say(name, pid);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void *nothing(void *unused)
{
	return unused;
}

#ifdef __x86_64__
static long int80(long number, long first, long second)
{
	long answer;

	__asm__ volatile("int $0x80"
			 : "=a"(answer)
			 : "a"(number), "b"(first), "c"(second), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	if ((int)answer < 0) {
		errno = -(int)answer;
		return -1;
	}
	return answer;
}

/* In a child, which faults where the kernel has no int 0x80. */
static void call_int80(const char *name, long number, long first, long second)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		say(name, int80(number, first, second));
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s\tsignal\n", name);
}

static void foreign(void)
{
	/* socketcall reads its arguments from 32-bit addresses. */
	uint32_t *socket_args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (socket_args != MAP_FAILED) {
		socket_args[0] = 38;
		socket_args[1] = SOCK_SEQPACKET;
		socket_args[2] = 0;
		call_int80("int80 socketcall", 102, 1, (long)(intptr_t)socket_args);
	}
	call_int80("int80 getpid", 20, 0, 0);
	call_int80("int80 unshare", 310, NEWUSER, 0);
	CALL("x32 getpid", 0x40000000L | SYS_getpid);
	CALL("x32 ioctl", 0x40000000L | 514, -1, TIOCSTI, 0);
}
#endif

int main(void)
{
	static const struct { const char *name; unsigned long family; } families[] = {
		{ "unix", 1 }, { "inet", 2 }, { "inet6", 10 }, { "netlink", 16 }, { "packet", 17 },
		{ "bluetooth", 31 }, { "alg", 38 }, { "vsock", 40 }, { "xdp", 44 },
	};
	int pair[2];
	char name[64];
	pthread_t thread;

	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
		int type = families[i].family == 16 ? SOCK_RAW : SOCK_DGRAM;

		snprintf(name, sizeof(name), "socket %s", families[i].name);
		CALL(name, SYS_socket, families[i].family, type, 0);
		snprintf(name, sizeof(name), "socket %s high", families[i].name);
		CALL(name, SYS_socket, HIGH | families[i].family, type, 0);
	}
	CALL("socket audit", SYS_socket, 16, SOCK_RAW, 9);
	CALL("socket audit high", SYS_socket, HIGH | 16, SOCK_RAW, HIGH | 9);
	CALL("socketpair unix", SYS_socketpair, 1, SOCK_STREAM, 0, pair);
	CALL("socketpair tipc high", SYS_socketpair, HIGH | 30, SOCK_STREAM, 0, pair);

	CALL("ioctl tiocgwinsz", SYS_ioctl, -1, 0x5413UL, 0);
	CALL("ioctl tiocsti", SYS_ioctl, -1, TIOCSTI, 0);
	CALL("ioctl tiocsti high", SYS_ioctl, -1, HIGH | TIOCSTI, 0);
	CALL("ioctl tioclinux", SYS_ioctl, -1, TIOCLINUX, 0);
	CALL("ioctl tioclinux high", SYS_ioctl, -1, HIGH | TIOCLINUX, 0);

	call_clone("clone", 0);
	call_clone("clone newuser", NEWUSER);
	call_clone("clone newuser high", HIGH | NEWUSER);
	call_clone("clone newns", 0x20000);
	CALL("clone3", NR_CLONE3, NULL, 0);
	errno = pthread_create(&thread, NULL, nothing, NULL);
	say("thread", errno ? -1 : 0);
	CALL("unshare newuser", SYS_unshare, NEWUSER);
	CALL("unshare newuser high", SYS_unshare, HIGH | NEWUSER);
	CALL("setns", SYS_setns, -1, 0);

	CALL("personality read", SYS_personality, 0xffffffffUL);
	CALL("personality no randomize", SYS_personality, 0x40000UL);
	CALL("personality no randomize high", SYS_personality, HIGH | 0x40000UL);

	CALL("io_uring_setup", NR_IO_URING_SETUP, 1, NULL);
	CALL("io_uring_enter", NR_IO_URING_ENTER, -1, 0, 0, 0, NULL, 0);
	CALL("io_uring_register", NR_IO_URING_REGISTER, -1, 0, NULL, 0);
	CALL("add_key", SYS_add_key, NULL, NULL, NULL, 0, 0);
	CALL("request_key", SYS_request_key, NULL, NULL, NULL, 0);
	CALL("keyctl", SYS_keyctl, 0, -3, 0);
	CALL("keyctl high", SYS_keyctl, HIGH, HIGH | 0xfffffffdUL, 0);
	CALL("bpf", SYS_bpf, -1, NULL, 0);
	CALL("userfaultfd", SYS_userfaultfd, -1);
	CALL("perf_event_open", SYS_perf_event_open, NULL, -1, -1, -1, 0);
	CALL("mount", SYS_mount, NULL, NULL, NULL, 0, NULL);
	CALL("fsopen", NR_FSOPEN, NULL, 0);
	CALL("open_tree", NR_OPEN_TREE, -1, NULL, 0);
	CALL("open_by_handle_at", SYS_open_by_handle_at, -1, NULL, 0);
	CALL("init_module", SYS_init_module, NULL, 0, NULL);
	CALL("vmsplice", SYS_vmsplice, -1, NULL, 0, 0);
	CALL("syslog", SYS_syslog, -1, NULL, 0);
	CALL("mseal", NR_MSEAL, 0, 0, 0);
	CALL("unknown", 1000);
#ifdef __x86_64__
	foreign();
#endif
	return 0;
}
