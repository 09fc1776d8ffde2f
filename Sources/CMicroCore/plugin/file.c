/* What the file of a plugin is, before any of its code runs. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/hex.h"
#include "base/memory.h"
#include "loop/os_status.h"
#include "plugin/plugin.h"
#include "tls/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <elf.h>
#endif

/* ---- Who can change it ---- */

static mcore_status refuse(char *detail, size_t size, const char *path, const char *why) {
    snprintf(detail, size, "%s %s", path, why);
    return MCORE_EACCES;
}

/* `folder`: the file lies in it. A folder further up may be open to all when nobody can replace
 * what is others' there, as in /tmp. */
static mcore_status check_one(const char *path, int is_file, int is_folder, char *detail,
                              size_t size) {
    struct stat info;
    if (lstat(path, &info) < 0) {
        snprintf(detail, size, "%s: %s", path, strerror(errno));
        return mcore__status_of_errno(errno);
    }
    if (is_file && !S_ISREG(info.st_mode)) return refuse(detail, size, path, "is not a file");
    if (info.st_uid != geteuid() && info.st_uid != 0)
        return refuse(detail, size, path, "belongs neither to this user nor to root");
    int open_to_others = (info.st_mode & (S_IWGRP | S_IWOTH)) != 0;
    int sticky = !is_file && !is_folder && (info.st_mode & S_ISVTX);
    if (open_to_others && !sticky)
        return refuse(detail, size, path, "can be written to by others (chmod go-w)");
    return MCORE_OK;
}

mcore_status mcore__plugin_check_owner(const char *path, char *detail, size_t size) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part) return MCORE_EINVAL;
    memcpy(part, path, len + 1);
    mcore_status status = check_one(part, 1, 0, detail, size);
    for (int is_folder = 1; status == MCORE_OK; is_folder = 0) {
        char *slash = strrchr(part, '/');
        if (!slash || (slash == part && part[1] == 0)) break;
        slash[slash == part] = 0; /* the root keeps its own */
        status = check_one(part, 0, is_folder, detail, size);
    }
    return status;
}

/* ---- For which machine it is ---- */

static mcore_status open_file(const char *path, int *out_fd, char *detail, size_t size) {
    *out_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (*out_fd >= 0) return MCORE_OK;
    mcore_status status = mcore__status_of_errno(errno);
    snprintf(detail, size, "%s: %s", path, strerror(errno));
    return status;
}

#ifdef __linux__

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#elif defined(__riscv)
#define OWN_MACHINE EM_RISCV
#elif defined(__s390x__)
#define OWN_MACHINE EM_S390
#elif defined(__powerpc64__)
#define OWN_MACHINE EM_PPC64
#else
#define OWN_MACHINE EM_NONE /* not known: the dynamic linker will tell */
#endif

static const char *machine_name(unsigned machine, char *room, size_t size) {
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "32-bit x86";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "32-bit ARM";
    case EM_RISCV:
        return "RISC-V";
    case EM_S390:
        return "s390x";
    case EM_PPC64:
        return "ppc64";
    default:
        snprintf(room, size, "machine %u", machine);
        return room;
    }
}

static int is_own_byte_order(const Elf64_Ehdr *head) {
    static const uint16_t probe = 1;
    uint8_t first;
    memcpy(&first, &probe, 1);
    return head->e_ident[EI_DATA] == (first ? ELFDATA2LSB : ELFDATA2MSB);
}

static mcore_status check_head(const Elf64_Ehdr *head, const char *path, char *detail,
                               size_t size) {
    char theirs[24], ours[24];
    if (head->e_ident[EI_CLASS] != ELFCLASS64 && head->e_ident[EI_CLASS] != ELFCLASS32)
        snprintf(detail, size, "%s is not a shared object", path);
    else if (head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
        snprintf(detail, size, "%s is for a %d-bit machine, this process has %zu bits", path,
                 head->e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32, sizeof(void *) * 8);
    else if (!is_own_byte_order(head))
        snprintf(detail, size, "%s is for a machine of the other byte order", path);
    else if (OWN_MACHINE != EM_NONE && head->e_machine != OWN_MACHINE)
        snprintf(detail, size, "%s is for %s, this process is %s", path,
                 machine_name(head->e_machine, theirs, sizeof theirs),
                 machine_name(OWN_MACHINE, ours, sizeof ours));
    else if (head->e_type != ET_DYN)
        snprintf(detail, size, "%s is not a shared object", path);
    else
        return MCORE_OK;
    return MCORE_EINVAL;
}

mcore_status mcore__plugin_check_format(const char *path, char *detail, size_t size) {
    int fd;
    mcore_status status = open_file(path, &fd, detail, size);
    if (status < 0) return status;
    Elf64_Ehdr head;
    memset(&head, 0, sizeof head);
    ssize_t got = read(fd, &head, sizeof head);
    close(fd);
    if (got < (ssize_t)sizeof(Elf32_Ehdr) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) {
        snprintf(detail, size, "%s is not a shared object", path);
        return MCORE_EINVAL;
    }
    return check_head(&head, path, detail, size);
}

#else

/* The dynamic linker says what it does not take. */
mcore_status mcore__plugin_check_format(const char *path, char *detail, size_t size) {
    int fd;
    mcore_status status = open_file(path, &fd, detail, size);
    if (status == MCORE_OK) close(fd);
    return status;
}

#endif

/* ---- Whether it is the one that was meant ---- */

static int read_hex(const char *hex, uint8_t out[MCORE__SHA256_BYTES]) {
    if (strlen(hex) != 2u * MCORE__SHA256_BYTES) return 0;
    for (int i = 0; i < MCORE__SHA256_BYTES; i++) {
        int byte = mcore__hex_byte((const uint8_t *)hex + 2 * i);
        if (byte < 0) return 0;
        out[i] = (uint8_t)byte;
    }
    return 1;
}

mcore_status mcore__plugin_check_digest(const char *path, const char *hex, char *detail,
                                        size_t size) {
    uint8_t wanted[MCORE__SHA256_BYTES], found[MCORE__SHA256_BYTES];
    if (!read_hex(hex, wanted)) {
        snprintf(detail, size, "the SHA-256 to check has to be %d hex digits",
                 2 * MCORE__SHA256_BYTES);
        return MCORE_EINVAL;
    }
    int fd;
    mcore_status status = open_file(path, &fd, detail, size);
    if (status < 0) return status;
    status = mcore__sha256_of_file(fd, found);
    close(fd);
    if (status < 0) {
        snprintf(detail, size, "%s could not be read: %s", path, mcore_status_text(status));
        return status;
    }
    if (memcmp(wanted, found, sizeof found) == 0) return MCORE_OK;
    char text[2 * MCORE__SHA256_BYTES + 1];
    for (int i = 0; i < MCORE__SHA256_BYTES; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", found[i]);
    snprintf(detail, size, "%s has the SHA-256 %s, which is not the one that was given", path,
             text);
    return MCORE_EACCES;
}
