#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "test.h"

#include "mcore/sqlite.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], file[96];

static void fresh(void) {
    snprintf(folder, sizeof folder, "/tmp/mcore-lock-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/nodes.lock", folder);
}

static void clean(void) {
    unlink(file);
    CHECK_INT(rmdir(folder), 0);
}

static uint32_t held(uint64_t offset) {
    uint32_t is_held = 7;
    CHECK_INT(mcore_file_lock_probe(file, offset, &is_held), MCORE_OK);
    return is_held;
}

TEST(a_byte_is_held_until_released) {
    fresh();
    CHECK_INT(held(3), 0); /* a missing file holds nothing */
    CHECK(access(file, F_OK) != 0);
    mcore_file_lock *a = NULL, *b = NULL, *c = NULL;
    CHECK_INT(mcore_file_lock_acquire(file, 3, &a), MCORE_OK);
    CHECK_INT(held(3), 1);
    CHECK_INT(held(2), 0);
    CHECK_INT(held(4), 0);
    CHECK_INT(mcore_file_lock_acquire(file, 3, &b), MCORE_EBUSY); /* in one process too */
    CHECK(b == NULL);
    CHECK_INT(mcore_file_lock_acquire(file, 1ull << 62, &b), MCORE_OK); /* far behind the end */
    CHECK_INT(held(1ull << 62), 1);
    mcore_file_lock_release(b);
    CHECK_INT(held(3), 1); /* closing another descriptor of the file frees nothing */
    mcore_file_lock_release(a);
    CHECK_INT(held(3), 0);
    CHECK_INT(mcore_file_lock_acquire(file, 3, &c), MCORE_OK);
    mcore_file_lock_release(c);
    mcore_file_lock_release(NULL);
    struct stat info;
    CHECK_INT(stat(file, &info), 0);
    CHECK_INT(info.st_mode & 07777, 0600);
    clean();
}

TEST(wrong_files_and_offsets_are_refused) {
    fresh();
    mcore_file_lock *lock = NULL;
    uint32_t is_held = 0;
    char path[160];
    snprintf(path, sizeof path, "%s/none/x", folder);
    CHECK_INT(mcore_file_lock_acquire(path, 0, &lock), MCORE_ENOENT);
    CHECK_INT(mcore_file_lock_probe(path, 0, &is_held), MCORE_OK);
    CHECK_INT(mcore_file_lock_acquire(folder, 0, &lock), MCORE_EACCES);
    CHECK_INT(mcore_file_lock_probe(folder, 0, &is_held), MCORE_EACCES);
    CHECK_INT(mcore_file_lock_acquire(file, UINT64_MAX, &lock), MCORE_EINVAL);
    CHECK_INT(mcore_file_lock_probe(file, UINT64_MAX, &is_held), MCORE_EINVAL);
    CHECK_INT(mcore_file_lock_acquire(NULL, 0, &lock), MCORE_EINVAL);
    CHECK_INT(mkfifo(file, 0600), 0); /* must not hang */
    CHECK_INT(mcore_file_lock_acquire(file, 0, &lock), MCORE_EACCES);
    CHECK_INT(mcore_file_lock_probe(file, 0, &is_held), MCORE_EACCES);
    CHECK_INT(unlink(file), 0);
    CHECK_INT(symlink("/etc/passwd", file), 0); /* nor follow somebody's link */
    CHECK_INT(mcore_file_lock_acquire(file, 0, &lock), MCORE_EACCES);
    CHECK(lock == NULL);
    clean();
}

TEST(descriptors_are_closed_on_exec) {
    fresh();
    mcore_file_lock *lock = NULL;
    int before = dup(0);
    CHECK(before >= 0);
    close(before);
    CHECK_INT(mcore_file_lock_acquire(file, 0, &lock), MCORE_OK);
    CHECK_INT(fcntl(before, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC); /* it has the lowest free number */
    mcore_file_lock_release(lock);
    CHECK_INT(fcntl(before, F_GETFD), -1);
    clean();
}

TEST(a_kill_frees_it_at_once) {
    fresh();
    for (int round = 0; round < 50; round++) {
        int ready[2];
        CHECK_INT(pipe(ready), 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            mcore_file_lock *lock = NULL;
            if (mcore_file_lock_acquire(file, 9, &lock) != MCORE_OK) _exit(1);
            if (write(ready[1], "1", 1) != 1) _exit(2);
            for (;;) pause();
        }
        close(ready[1]);
        char one;
        CHECK_INT(read(ready[0], &one, 1), 1);
        CHECK_INT(held(9), 1);
        CHECK_INT(kill(child, SIGKILL), 0);
        CHECK_INT(waitpid(child, NULL, 0), child);
        CHECK_INT(held(9), 0);
        close(ready[0]);
    }
    clean();
}

TEST(a_folder_must_be_private) {
    fresh();
    char path[128], link[128];
    snprintf(path, sizeof path, "%s/micro", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    mode_t before = umask(0);
    CHECK_INT(mcore_private_folder(path), MCORE_OK); /* made */
    umask(before);
    CHECK_INT(mcore_private_folder(path), MCORE_OK); /* found */
    struct stat info;
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 07777, 0700);
    CHECK_INT(chmod(path, 0710), 0);
    CHECK_INT(mcore_private_folder(path), MCORE_EACCES);
    CHECK_INT(chmod(path, 0702), 0);
    CHECK_INT(mcore_private_folder(path), MCORE_EACCES);
    CHECK_INT(chmod(path, 0700), 0);
    CHECK_INT(mcore_private_folder(path), MCORE_OK);
    CHECK_INT(symlink(path, link), 0);
    CHECK_INT(mcore_private_folder(link), MCORE_EACCES); /* a link, even to a good one */
    CHECK_INT(unlink(link), 0);
    if (geteuid() == 0) {
        CHECK_INT(chown(path, 65534, 65534), 0);
        CHECK_INT(mcore_private_folder(path), MCORE_EACCES); /* somebody else's */
    }
    CHECK_INT(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/none/micro", folder);
    CHECK_INT(mcore_private_folder(path), MCORE_ENOENT);
    CHECK_INT(mcore_private_folder(""), MCORE_EINVAL);
    CHECK_INT(mcore_private_folder(NULL), MCORE_EINVAL);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_INT(mcore_private_folder(file), MCORE_EACCES);
    clean();
}

int main(int argc, char **argv) { return test_main(argc, argv); }
