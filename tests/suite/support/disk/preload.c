/*
 * Stands between a process and the C library, by LD_PRELOAD, for the files of simulated disks: counts
 * what changes them, writes it down, and fails it when told to. mod.rs is its other half and says what
 * is meant; the files `control` and `log/<disk>` below $DISK_ROOT are what the two have in common.
 *
 * Only what SQLite and Rust's std::fs do is modelled. A change by any other road is not missed in
 * silence: mod.rs compares what was written down with what stands in the folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE, WRITE, TRUNCATE, SYNC, SYNC_FOLDER, DELETE, RENAME };
enum fault { NONE, CRASH, FULL, FAIL };

/* One for every disk. */
struct control {
    uint64_t operations, fault, at, struck;
};

struct record {
    uint32_t kind, in_flight;
    uint64_t inode, offset;
    uint32_t name_len, data_len;
};

/* How many disks one process may make; as in mod.rs. */
#define DISKS 65536

static char root[PATH_MAX];
static struct control *controls;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

static void give_up(const char *what) {
    fprintf(stderr, "the simulated disk cannot go on: %s: %s\n", what, strerror(errno));
    abort();
}

/* Other libraries' constructors may write before ours has run. */
static void find_real(void) {
    if (real_rename) return;
    real_open = dlsym(RTLD_NEXT, "open64");
    real_read = dlsym(RTLD_NEXT, "read");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
}

__attribute__((constructor)) static void start(void) {
    char path[PATH_MAX + 16];
    const char *given = getenv("DISK_ROOT");
    int fd;

    find_real();
    if (!given) return;
    snprintf(path, sizeof path, "%s/control", given);
    fd = real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) give_up(path);
    controls = mmap(NULL, DISKS * sizeof *controls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (controls == MAP_FAILED) give_up("mmap");
    close(fd);
    snprintf(root, sizeof root, "%s/disk/", given);
}

/* The disk that a full path is on, or -1; and its name there, empty for the disk's own folder. */
static int disk_of(const char *path, const char **name) {
    size_t len = strlen(root);
    char *end;
    unsigned long disk;

    if (!len || strncmp(path, root, len)) return -1;
    disk = strtoul(path + len, &end, 10);
    if (end == path + len || disk >= DISKS || (*end && *end != '/')) return -1;
    if (name) *name = *end ? end + 1 : end;
    return (int)disk;
}

static int disk_of_fd(int fd) {
    char link[64], path[PATH_MAX];
    ssize_t len;
    int before = errno;

    if (!root[0]) return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    errno = before;
    if (len < 0) return -1;
    path[len] = 0;
    return disk_of(path, NULL);
}

/* The same for a path that may be relative and need not exist; `full` is then what `name` points into. */
static int disk_of_path(const char *path, char *full, const char **name) {
    char folder[PATH_MAX];
    const char *slash = path ? strrchr(path, '/') : NULL;
    int before = errno, disk = -1;

    if (!root[0] || !path || strlen(path) >= PATH_MAX) return -1;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    if (realpath(folder, full) && strlen(full) + strlen(slash ? slash : path) + 2 < PATH_MAX) {
        strcat(full, "/");
        strcat(full, slash ? slash + 1 : path);
        disk = disk_of(full, name);
    }
    errno = before;
    return disk;
}

static int is_dead(int disk) {
    struct control *c = &controls[disk];
    return c->fault == CRASH && c->operations >= c->at;
}

/* Counts an operation. Returns the errno that it must fail with, or 0. */
static int verdict(int disk, int grows, int *in_flight) {
    struct control *c = &controls[disk];
    uint64_t n = ++c->operations;
    int error = 0;

    *in_flight = 0;
    if (c->fault == CRASH && n >= c->at) {
        *in_flight = n == c->at;
        error = EIO;
    } else if (c->fault == FAIL && n == c->at) {
        error = EIO;
    } else if (c->fault == FULL && n >= c->at && grows) {
        error = ENOSPC;
    }
    if (error) c->struck = 1;
    return error;
}

static void note(int disk, enum kind kind, int in_flight, uint64_t inode, uint64_t offset,
                 const char *name, const void *data, size_t data_len) {
    struct record record = {kind, (uint32_t)in_flight, inode, offset, (uint32_t)strlen(name), (uint32_t)data_len};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)name, record.name_len}, {(void *)data, data_len}};
    char path[PATH_MAX + 64];
    int fd;

    snprintf(path, sizeof path, "%.*slog/%d", (int)(strlen(root) - strlen("disk/")), root, disk);
    fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) give_up(path);
    if (writev(fd, parts, 3) != (ssize_t)(sizeof record + record.name_len + data_len)) give_up(path);
    close(fd);
}

static uint64_t inode_of_fd(int fd, uint64_t *size, int *is_folder) {
    struct stat64 st;
    if (fstat64(fd, &st)) give_up("fstat");
    if (size) *size = (uint64_t)st.st_size;
    if (is_folder) *is_folder = S_ISDIR(st.st_mode);
    return st.st_ino;
}

/* `done` is the result, `error` the errno of what ends with this. */
static ssize_t leave(ssize_t done, int error) {
    pthread_mutex_unlock(&one_at_a_time);
    if (error) errno = error;
    return error ? -1 : done;
}

static int open_on(const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    const char *name;
    struct stat64 st;
    int disk, fd, creates, truncates, in_flight, error;

    find_real();
    disk = disk_of_path(path, full, &name);
    if (disk < 0 || !*name) return real_open(path, flags, mode);

    pthread_mutex_lock(&one_at_a_time);
    creates = (flags & O_CREAT) && lstat64(full, &st);
    truncates = !creates && (flags & O_TRUNC);
    if (is_dead(disk)) return (int)leave(0, EIO);
    if (!creates && !truncates) {
        fd = real_open(path, flags, mode);
        return (int)leave(fd, fd < 0 ? errno : 0);
    }
    /* A new name takes no block as a rule, and a full disk is full of blocks. */
    error = verdict(disk, 0, &in_flight);
    if (error) return (int)leave(0, error);
    fd = real_open(path, flags, mode);
    if (fd < 0) return (int)leave(0, errno);
    note(disk, creates ? CREATE : TRUNCATE, 0, inode_of_fd(fd, NULL, NULL), 0, name, NULL, 0);
    return (int)leave(fd, 0);
}

static ssize_t write_on(int disk, int fd, const void *data, size_t len, int has_offset, off64_t offset) {
    uint64_t size, inode;
    ssize_t done;
    int in_flight, error;

    pthread_mutex_lock(&one_at_a_time);
    inode = inode_of_fd(fd, &size, NULL);
    if (!has_offset) offset = fcntl(fd, F_GETFL) & O_APPEND ? (off64_t)size : lseek64(fd, 0, SEEK_CUR);
    error = verdict(disk, (uint64_t)offset + len > size, &in_flight);
    if (error) {
        if (in_flight) note(disk, WRITE, 1, inode, (uint64_t)offset, "", data, len);
        return leave(0, error);
    }
    done = has_offset ? real_pwrite(fd, data, len, offset) : real_write(fd, data, len);
    if (done < 0) return leave(0, errno);
    note(disk, WRITE, 0, inode, (uint64_t)offset, "", data, (size_t)done);
    return leave(done, 0);
}

/* Nothing is really synced: what power loss leaves is worked out from the log. */
static int sync_on(int disk, int fd) {
    uint64_t inode;
    int is_folder, in_flight, error;

    pthread_mutex_lock(&one_at_a_time);
    inode = inode_of_fd(fd, NULL, &is_folder);
    error = verdict(disk, 0, &in_flight);
    if (!error) note(disk, is_folder ? SYNC_FOLDER : SYNC, 0, inode, 0, "", NULL, 0);
    return (int)leave(0, error);
}

static int truncate_on(int disk, int fd, off64_t len) {
    uint64_t inode;
    int in_flight, error;

    pthread_mutex_lock(&one_at_a_time);
    inode = inode_of_fd(fd, NULL, NULL);
    error = verdict(disk, 0, &in_flight);
    if (error) {
        if (in_flight) note(disk, TRUNCATE, 1, inode, (uint64_t)len, "", NULL, 0);
        return (int)leave(0, error);
    }
    if (real_ftruncate(fd, len)) return (int)leave(0, errno);
    note(disk, TRUNCATE, 0, inode, (uint64_t)len, "", NULL, 0);
    return (int)leave(0, 0);
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open_on(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open_on(path, flags | O_LARGEFILE, mode);
}

ssize_t read(int fd, void *data, size_t len) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    if (disk >= 0 && is_dead(disk)) return errno = EIO, -1;
    return real_read(fd, data, len);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t offset) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    if (disk >= 0 && is_dead(disk)) return errno = EIO, -1;
    return real_pread(fd, data, len, offset);
}

ssize_t pread(int fd, void *data, size_t len, off_t offset) {
    return pread64(fd, data, len, offset);
}

ssize_t write(int fd, const void *data, size_t len) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    return disk < 0 ? real_write(fd, data, len) : write_on(disk, fd, data, len, 0, 0);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    return disk < 0 ? real_pwrite(fd, data, len, offset) : write_on(disk, fd, data, len, 1, offset);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    return pwrite64(fd, data, len, offset);
}

int ftruncate64(int fd, off64_t len) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    return disk < 0 ? real_ftruncate(fd, len) : truncate_on(disk, fd, len);
}

int ftruncate(int fd, off_t len) {
    return ftruncate64(fd, len);
}

int fsync(int fd) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    return disk < 0 ? real_fsync(fd) : sync_on(disk, fd);
}

int fdatasync(int fd) {
    int disk;
    find_real();
    disk = disk_of_fd(fd);
    return disk < 0 ? real_fdatasync(fd) : sync_on(disk, fd);
}

int unlink(const char *path) {
    char full[PATH_MAX];
    const char *name;
    int disk, in_flight, error;

    find_real();
    disk = disk_of_path(path, full, &name);
    if (disk < 0) return real_unlink(path);
    pthread_mutex_lock(&one_at_a_time);
    error = verdict(disk, 0, &in_flight);
    if (error) return (int)leave(0, error);
    if (real_unlink(path)) return (int)leave(0, errno);
    note(disk, DELETE, 0, 0, 0, name, NULL, 0);
    return (int)leave(0, 0);
}

int rename(const char *from, const char *to) {
    char full_from[PATH_MAX], full_to[PATH_MAX];
    const char *name_from, *name_to;
    int disk, in_flight, error;

    find_real();
    disk = disk_of_path(from, full_from, &name_from);
    if (disk < 0 || !*name_from || disk_of_path(to, full_to, &name_to) != disk) return real_rename(from, to);
    pthread_mutex_lock(&one_at_a_time);
    error = verdict(disk, 0, &in_flight);
    if (error) return (int)leave(0, error);
    if (real_rename(from, to)) return (int)leave(0, errno);
    note(disk, RENAME, 0, 0, 0, name_from, name_to, strlen(name_to));
    return (int)leave(0, 0);
}
