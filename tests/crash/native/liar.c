/* liar COMMAND ARGUMENTS...
 * Runs a command for which every sync is a lie: the system call returns 0 and does nothing. A seccomp filter rather than LD_PRELOAD,
 * because it also meets calls that do not go through libc. This is the negative control of the power cuts. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIE_ABOUT(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0)

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		LIE_ABOUT(SYS_fsync),
		LIE_ABOUT(SYS_fdatasync),
		LIE_ABOUT(SYS_syncfs),
		LIE_ABOUT(SYS_sync),
		LIE_ABOUT(SYS_sync_file_range),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	if (argc < 2)
		return 64;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		fprintf(stderr, "liar: %s\n", strerror(errno));
		return 1;
	}
	execvp(argv[1], argv + 1);
	fprintf(stderr, "liar: %s: %s\n", argv[1], strerror(errno));
	return 1;
}
