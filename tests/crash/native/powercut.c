/* powercut DIR FLAG [FILE OFFSET LENGTH]...
 * A real power cut of the ext4 file system that DIR is on: nothing written and not yet on the device gets there any more.
 * FLAG 2 (NOLOGFLUSH) also forgets the journal's running transaction, FLAG 1 (LOGFLUSH) commits it first. Ranges of files are
 * written back before the cut: a disk may have done so at any time, and a torn file is the result. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EXT4_IOC_SHUTDOWN 0x8004587d

int main(int argc, char **argv)
{
	if (argc < 3 || (argc - 3) % 3 != 0)
		return 64;
	for (int i = 3; i < argc; i += 3) {
		int file = open(argv[i], O_RDWR);
		/* A segment may be gone since the caller listed it. */
		if (file < 0)
			continue;
		sync_file_range(file, atoll(argv[i + 1]), atoll(argv[i + 2]),
				SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
		close(file);
	}
	int dir = open(argv[1], O_RDONLY | O_DIRECTORY);
	uint32_t flag = (uint32_t)atoi(argv[2]);
	if (dir < 0 || ioctl(dir, EXT4_IOC_SHUTDOWN, &flag) != 0) {
		fprintf(stderr, "powercut %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	return 0;
}
