/* Generated from bindings/c/src by `make header`.
 *
 * chunked-upload receives a file in numbered chunks, in any order, from any process, and hands back
 * the assembled file.
 *
 * A client cuts a file into chunks and sends each with the size of the file and the number of
 * chunks. The server passes every chunk to upload_handle_chunk and sends the uid in the receipt back
 * to the client, which puts it into all further chunks. When the client says that it is done, or
 * when a receipt says so, upload_get gives the path of the assembled file. A complete program:
 *
 *     #include <chunked_upload.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         upload_store *store = NULL;
 *         upload_finished *file = NULL;
 *         upload_error *error = NULL;
 *         upload_receipt receipt = UPLOAD_RECEIPT_INIT;
 *         upload_chunk chunk = UPLOAD_CHUNK_INIT;
 *         upload_result result = upload_store_open("uploads", NULL, &store, &error);
 *
 *         chunk.upload_uid = receipt.upload_uid; // empty at first: that starts an upload
 *         chunk.file_name = "hello.txt";
 *         chunk.total_size = 10;
 *         chunk.chunk_count = 2;
 *         chunk.content_size = 5;
 *         for (; result == UPLOAD_OK && chunk.chunk_number < 2; chunk.chunk_number++) {
 *             chunk.content = chunk.chunk_number == 0 ? "hello" : "world";
 *             result = upload_handle_chunk(store, &chunk, &receipt, &error);
 *         }
 *         if (result == UPLOAD_OK)
 *             result = upload_get(store, receipt.upload_uid, &file, &error);
 *         puts(result == UPLOAD_OK ? upload_finished_path(file) : upload_error_message(error));
 *         upload_finished_free(file);
 *         upload_error_free(error);
 *         upload_store_free(store);
 *         return result == UPLOAD_OK ? 0 : 1;
 *     }
 *
 * Results. A function that can fail returns an upload_result: UPLOAD_OK, which is 0, or what went
 * wrong. Take a value that you do not know for a failure: later versions may add some. Through the
 * last parameter, upload_error **error, which may be NULL, a failure also gives an object with the
 * facts; UPLOAD_OK sets it to NULL. Free it before the same variable is passed again.
 *
 * Ownership. What comes out through a ** parameter belongs to the caller, who hands it to the _free
 * function of its type; that accepts NULL, and handles may be freed in any order. Every ** parameter
 * is set on every return, to NULL when there is nothing to give; what it held before is neither
 * looked at nor freed. A const char * that a function returns belongs to the handle it was asked of
 * and is valid until that is freed. Nothing is ever to be given to free(). Of what the caller passes
 * in, the library keeps nothing: strings, content and options are read during the call only.
 *
 * Arguments. Strings end with NUL. Uids and file names are UTF-8, paths are bytes. A NULL that is not
 * expressly allowed, and a number out of its range, is UPLOAD_INVALID_ARGUMENT, never a crash; but a
 * pointer that is not NULL has to point to what the declaration says.
 *
 * Threads. An upload_store, upload_finished and upload_error never change: any number of threads may use
 * one at once. upload_options are for one thread at a time. The thread that frees a handle must be its
 * last user. The library starts no threads, keeps no state outside the handles and does nothing when it
 * is loaded.
 *
 * Processes. Any process that opened the same directory may receive any chunk of any upload in it; all
 * of it lies on disk, and locks are the kernel's, which releases them when a process dies. A handle
 * made before a fork works in the child, but for an upload_list: parent and child would share its place in
 * the directory. All descriptors are closed on exec.
 *
 * Fork during a call. A child that is forked by one thread while another is inside a call shares the
 * lock of that call. The lock is released when the call returns. If the parent is killed before that, the
 * child keeps the lock until it execs or exits. Calls that need the lock wait that long; in the child
 * they wait for ever. The lock of a chunk holds up that chunk, and upload_get, upload_move_to,
 * upload_verify and upload_remove of its upload. The lock of the store holds up all first chunks if the
 * store has a max_store_size or max_uploads, the removal and moving of uploads that were counted for
 * these, and the first upload_key of a store. All other calls go on. The library cannot prevent this:
 * fork copies each descriptor with its locks. After a parent was killed, end such children or let them
 * exec.
 *
 * Signals and limits. Handlers may run during a call; a system call that was interrupted is resumed and
 * never shows as an error. pthread_cancel waits until the call returns. Do not longjmp out of a handler
 * during a call. Where a limit on the size of files may apply, ignore SIGXFSZ: then it is UPLOAD_IO with
 * EFBIG. When memory runs out, the process is aborted.
 *
 * After a break, upload_inspect tells in one call what is missing. A client that may lose the answer to
 * its first chunk makes an upload_key and sends it with each: then chunks need no uid. With
 * upload_store_for_owner every user has a store of their own.
 *
 * Time. Every call blocks and cannot be interrupted; a program with an event loop calls from a thread.
 * upload_handle_chunk takes time in proportion to the bytes of its chunk, whatever the size of the file
 * and the number of chunks. upload_get takes time in proportion to the number of chunks: the file is put
 * in place by renaming, not by copying. It takes time in proportion to the bytes, the first time, in two
 * cases: after a reboot or a remount, when what was not known to be on disk is read and compared with its
 * checksum; and for chunks that could not be written to their final place when they arrived (all but the
 * last should be of one size). Such work is recorded as it goes: when a call is killed half-way, the next
 * continues. No call needs memory in proportion to the file.
 *
 * Files. Each upload is one directory, named after its uid, in the directory of the store. Opening a
 * store creates nothing; the first chunk creates the directory if only its last component is missing.
 * The finished file is the caller's: read it, rename it elsewhere or remove it; the upload then answers
 * UPLOAD_GONE. Best upload_move_to puts it at its place: once, whole, and as often as it has to be repeated.
 * Do not write to the file where it lies: later calls could not tell that from damage. upload_remove
 * forgets an upload. Nothing expires by itself: call upload_cleanup now and then, or remove the directories
 * yourself, whose modification time follows the last accepted chunk or upload_get, to a second.
 *
 * Network file systems (NFS, SMB, 9p and the like, also FUSE) are refused when the store is opened, with
 * UPLOAD_IO: they cannot keep these promises. A path that does not exist is taken to be where its nearest
 * existing parent is; whether uploads can be made there, the first chunk tells. On a file system that
 * became read-only these calls still work: upload_get and upload_verify of a finished file,
 * upload_inspect, upload_list. Other calls fail with UPLOAD_IO and EROFS. So does upload_get after a
 * reboot or a remount, if the file was not known to be on disk before.
 *
 * One upload takes as much disk as the file has bytes, and 32 bytes for each chunk. Chunks sent again
 * with other bytes or in uneven sizes can take it to twice the file. Chunks of wrong sizes can take it to
 * three times the file, but never further.
 *
 * Secrets. A uid is what protects an upload: a client that knows it, and has the same owner if there is
 * one, may add to the upload and learn where its file is. It cannot be guessed, unless it was made from
 * an upload_key that can. Messages show its first eight digits only; upload_error_path and
 * upload_finished_path hold it whole, so log them with care.
 *
 * Versions. Within an ABI epoch, which is the number in the library's soname, nothing declared here is
 * removed or changed: programs compiled with an older header keep working with a newer library.
 * Functions, results and members at the end of structs with a struct_size may be added.
 */

#ifndef CHUNKED_UPLOAD_H
#define CHUNKED_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header; that of the library that runs is upload_version(). */
#define UPLOAD_VERSION "0.2.0"
#define UPLOAD_VERSION_MAJOR 0
#define UPLOAD_VERSION_MINOR 2
#define UPLOAD_VERSION_PATCH 0
#define UPLOAD_VERSION_NUMBER (UPLOAD_VERSION_MAJOR * 1000000 + UPLOAD_VERSION_MINOR * 1000 + UPLOAD_VERSION_PATCH)

/* The compiler warns when a result with this mark is ignored. */
#if defined(__GNUC__) || defined(__clang__)
#define UPLOAD_MUST_USE __attribute__((warn_unused_result))
#else
#define UPLOAD_MUST_USE
#endif

/* Every upload_chunk, upload_receipt, upload_expiry and upload_cleaned starts with one of these:
 *
 *     upload_chunk chunk = UPLOAD_CHUNK_INIT;
 *
 * They set struct_size, by which the library knows which version of the struct the program was
 * compiled with, and zero the rest; an upload_expiry keeps everything. */
#define UPLOAD_CHUNK_INIT { sizeof(upload_chunk), NULL, NULL, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL }
#define UPLOAD_RECEIPT_INIT { sizeof(upload_receipt), { 0 }, 0 }
#define UPLOAD_EXPIRY_INIT { sizeof(upload_expiry), UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 0 }
#define UPLOAD_CLEANED_INIT { sizeof(upload_cleaned), 0, 0, 0, 0, 0, 0 }

/**
 * A value for upload_options_set_durability: an acknowledged chunk and a finished file survive the
 * death of every process, at any instant, but perhaps not a power failure. The default.
 */
#define UPLOAD_DURABILITY_PROCESS 0

/**
 * A value for upload_options_set_durability: besides, the finished file survives power failure once
 * upload_get has returned it.
 */
#define UPLOAD_DURABILITY_COMPLETE 1

/**
 * A value for upload_options_set_durability: besides, every acknowledged chunk survives power failure.
 */
#define UPLOAD_DURABILITY_CHUNK 2

/**
 * Room for a uid with its NUL, in this and all later versions: a uid is always shorter than this.
 * How long exactly, and of which characters, may change.
 */
#define UPLOAD_UID_SIZE 64

/**
 * A phase: chunks may come; or all are there, and the file was not asked for yet.
 */
#define UPLOAD_PHASE_RECEIVING 1

/**
 * A phase: the finished file is there.
 */
#define UPLOAD_PHASE_COMPLETE 2

/**
 * A phase: the finished file was taken away.
 */
#define UPLOAD_PHASE_GONE 3

/**
 * An age that no upload reaches; 0 means the same.
 */
#define UPLOAD_KEEP UINT64_MAX

/**
 * An age that every upload has reached: remove them at once.
 */
#define UPLOAD_ANY_AGE (UINT64_MAX - 1)

/**
 * What became of a call. The numbers never change, and no number is used again for something else:
 * 1 to 19 are the caller's mistakes, 20 to 39 states of an upload, 40 to 59 come from storage, and
 * from 90 on are internal. What a server would answer over HTTP is in parentheses.
 */
enum upload_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Done. (200)
   */
  UPLOAD_OK = 0,
  /**
   * The request is malformed or contradicts itself: a NULL, text that is not UTF-8 (a uid that
   * is not is UPLOAD_NOT_FOUND, as any other that cannot be one), a chunk number that is not
   * below the count, sizes that cannot add up. Nothing was stored. Do not send it again; the
   * message says what is wrong. (400)
   */
  UPLOAD_INVALID_ARGUMENT = 1,
  /**
   * A limit of the store's options stands in the way of a new upload, or a chunk would take the
   * upload's data beyond twice its declared size. upload_error_limit and upload_error_limit_value
   * say which limit. Nothing was stored. After "data_size" a chunk that was to be replaced may be
   * missing. Send the refused chunks again after the others. (413)
   */
  UPLOAD_LIMIT_EXCEEDED = 2,
  /**
   * The chunk does not have the checksum that came with it, and nothing was stored: send it again. Or,
   * from upload_get and upload_move_to: the file does not have the one that its first chunk declared. (400)
   */
  UPLOAD_CHECKSUM_MISMATCH = 3,
  /**
   * There is no such upload: the uid is unknown, malformed, or of another store, which is not told
   * apart; or the upload was removed. Start a new one. (404)
   */
  UPLOAD_NOT_FOUND = 20,
  /**
   * upload_get: chunks are missing. upload_error_missing_count and upload_error_first_missing say
   * how many and which is the first. Send them, then ask again. (409)
   */
  UPLOAD_INCOMPLETE = 21,
  /**
   * The chunk contradicts the upload: another total_size, chunk_count or file_digest than its first
   * chunk had, whatever became of the upload since, or other bytes for a chunk of a finished file.
   * Nothing was stored. (409)
   */
  UPLOAD_CONFLICT = 22,
  /**
   * upload_get: no chunk is missing, but together they have not the declared size.
   * upload_error_received_size and upload_error_declared_size give both. The upload stays open;
   * send the wrong chunks again. (409)
   */
  UPLOAD_SIZE_MISMATCH = 23,
  /**
   * The file was finished and has been taken away by its owner. It does not come back. (410)
   */
  UPLOAD_GONE = 24,
  /**
   * The operating system refused, or the directory holds something that is not of this library's
   * making (EBADMSG). upload_error_os_errno and upload_error_path say more. Repeat the call when the cause is
   * cured. Acknowledged chunks are safe, but for one that this call was to replace. (500)
   */
  UPLOAD_IO = 40,
  /**
   * The disk is full, a quota is used up, or less than min_free_space would stay free. Repeat the call
   * when there is space again. Acknowledged chunks are safe, but for one that this call was to
   * replace. (507)
   */
  UPLOAD_NO_SPACE = 41,
  /**
   * A defect of this library. The message is worth a report; other calls are not affected. (500)
   */
  UPLOAD_INTERNAL = 90,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum upload_result upload_result;
#else
typedef int32_t upload_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a call failed. It may be shared between threads and may outlive the store. The functions below answer
 * for every error: NULL or 0 where a fact does not apply to it, and also when they are asked about NULL.
 */
typedef struct upload_error upload_error;

/**
 * A finished upload. It may be shared between threads, keeps its values whatever happens to the file, and
 * may outlive the store. The functions below answer NULL or 0 when they are asked about NULL.
 */
typedef struct upload_finished upload_finished;

/**
 * What is known of an upload. It may be shared between threads and may outlive the store. The functions
 * below answer NULL or 0 when they are asked about NULL.
 */
typedef struct upload_inspection upload_inspection;

/**
 * The uploads in a store, one after the other. It belongs to one thread at a time, and may outlive the
 * store.
 */
typedef struct upload_list upload_list;

/**
 * One upload of a list. It may be shared between threads and may outlive the list. The functions below
 * answer NULL or 0 when they are asked about NULL.
 */
typedef struct upload_listed upload_listed;

/**
 * Limits and habits of a store. Made by upload_options_new with the default values, changed by the
 * setters, read by upload_store_open, which makes a copy. It belongs to one thread at a time.
 *
 * Options belong to the store handle, not to the directory: two programs may open the same directory
 * with different ones. With the same prefix they see each other's uploads, with different ones not.
 *
 * Every setter refuses a value that no store could work with at once: it returns
 * UPLOAD_INVALID_ARGUMENT, as it does when options is NULL, and leaves the options as they were.
 * upload_options_last_error then says why.
 */
typedef struct upload_options upload_options;

/**
 * A directory in which uploads are received, and the options with which this program does it.
 *
 * It is an absolute path and options, nothing more: no descriptor, no lock, no thread. Any number of
 * threads may use it at once, and so may the children of a fork. It must outlive the calls that use
 * it, but not what they returned.
 */
typedef struct upload_store upload_store;

/**
 * What reading the stored bytes again has shown. It may be shared between threads and may outlive the
 * store. The functions below answer 0 when they are asked about NULL.
 */
typedef struct upload_verification upload_verification;

/**
 * One chunk of a file, as it came from the client. Start with UPLOAD_CHUNK_INIT and set the members:
 * zero always means that something is absent. The library reads the struct and what it points to
 * during the call only and changes nothing.
 *
 * Later versions append members. struct_size tells the library how many of them the program knows. An
 * older library accepts a larger struct if the part it does not know is zero, and otherwise answers
 * UPLOAD_INVALID_ARGUMENT, so that nothing asked for is ever silently ignored.
 */
typedef struct upload_chunk {
  /**
   * sizeof(upload_chunk), which UPLOAD_CHUNK_INIT sets.
   */
  size_t struct_size;
  /**
   * NULL or "" starts an upload. For further chunks, what the first one's receipt says.
   */
  const char *upload_uid;
  /**
   * The client's name for the file, UTF-8, at most 4096 bytes; kept word for word, and never used
   * in a path. That of the first chunk stands. May be NULL.
   */
  const char *file_name;
  /**
   * Bytes of the whole file; the same in every chunk of an upload. At most 2^63 - 1.
   */
  uint64_t total_size;
  /**
   * Which chunk this is, counted from 0.
   */
  uint64_t chunk_number;
  /**
   * How many chunks there are, at least 1, at most 2^63 - 1; the same in every chunk of an upload.
   */
  uint64_t chunk_count;
  /**
   * The bytes of this chunk. May be NULL if content_size is 0.
   */
  const void *content;
  /**
   * How many bytes that are. Best all equal but for the last chunk; any other sizes are accepted, if
   * they can add up: at most total_size, and just that if there is one chunk only.
   */
  size_t content_size;
  /**
   * A name for the upload that the client made, any bytes, in place of a uid; of no effect when there
   * is an upload_uid. Chunks with the same key join one upload, whichever comes first and however often
   * it is sent, and the receipt tells its uid. At most 256 bytes, with an upload_uid too; without an
   * owner of the store at least 16 unguessable bytes. NULL for none. Since 0.2.
   */
  const void *upload_key;
  /**
   * How many bytes that are; 0 for none.
   */
  size_t upload_key_size;
  /**
   * Checksums of the content, written as in the header field Content-Digest (RFC 9530): "crc32c=:...:"
   * or "sha-256=:...:", base64 between the colons, or both with a comma. Unknown algorithms are ignored if a
   * known one is present. A value with only unknown ones is UPLOAD_INVALID_ARGUMENT: decide before the call
   * what to do with such a request. If the content has another checksum, the chunk is
   * UPLOAD_CHECKSUM_MISMATCH and nothing is stored. NULL or "" for none. Since 0.2.
   */
  const char *checksum;
  /**
   * A checksum of the whole file, in the same way, as in Repr-Digest. Compared when the upload is
   * finished: if the file has another, upload_get is UPLOAD_CHECKSUM_MISMATCH, the upload stays open, and
   * chunks that are sent again can repair it. That of the first chunk stands; later ones may leave
   * it out or repeat it, and with another, or one where the first had none, they are UPLOAD_CONFLICT.
   * NULL or "" for none. Since 0.2.
   */
  const char *file_digest;
} upload_chunk;

/**
 * The answer to an accepted chunk. Start with UPLOAD_RECEIPT_INIT. Written on success only, so one
 * receipt can be passed to all chunks of an upload, and upload_chunk.upload_uid may point into it.
 *
 * Later versions append members. The library writes those that both it and, by struct_size, the program
 * know; the rest and struct_size it leaves alone.
 */
typedef struct upload_receipt {
  /**
   * sizeof(upload_receipt), which UPLOAD_RECEIPT_INIT sets.
   */
  size_t struct_size;
  /**
   * The uid of the upload, NUL-terminated. It is a secret between this program and the client.
   */
  char upload_uid[UPLOAD_UID_SIZE];
  /**
   * 1 if all chunks are there, as far as this call can tell, otherwise 0. A hint, for clients that
   * send no signal of their own when they are done: upload_get decides.
   */
  int32_t received_all;
} upload_receipt;

/**
 * What upload_cleanup is to remove: uploads without activity for at least an age, in seconds, by what
 * they are. An age of 0 keeps them. Start with UPLOAD_EXPIRY_INIT, which keeps everything, and set the ages
 * you mean. Later versions append members, as to upload_chunk.
 */
typedef struct upload_expiry {
  /**
   * sizeof(upload_expiry), which UPLOAD_EXPIRY_INIT sets.
   */
  size_t struct_size;
  /**
   * Of uploads that are not finished, and of what crashes left.
   */
  uint64_t unfinished_age;
  /**
   * Of finished uploads whose file was not taken.
   */
  uint64_t finished_age;
  /**
   * Of the records of uploads whose file was taken. As long as such a record is there, a late chunk is
   * UPLOAD_GONE; afterwards UPLOAD_NOT_FOUND or, with an upload_key, the beginning of a new upload.
   */
  uint64_t gone_age;
  /**
   * How many uploads to remove at the most in this call; 0 means 1000.
   */
  uint64_t max_removals;
  /**
   * 1: tell only what would be removed. 0: remove it.
   */
  int32_t dry_run;
} upload_expiry;

/**
 * What upload_cleanup removed, or with dry_run would have. Start with UPLOAD_CLEANED_INIT. Later versions
 * append members, as to upload_receipt.
 */
typedef struct upload_cleaned {
  /**
   * sizeof(upload_cleaned), which UPLOAD_CLEANED_INIT sets.
   */
  size_t struct_size;
  /**
   * Uploads that were not finished.
   */
  uint64_t unfinished;
  /**
   * Finished uploads.
   */
  uint64_t finished;
  /**
   * Records of uploads whose file was taken.
   */
  uint64_t gone;
  /**
   * What crashes left: whatever has an upload's name but is none.
   */
  uint64_t leftovers;
  /**
   * How many are old enough but could not be removed. Uploads that were removed count, too, if a file
   * .upload-*.part stays where upload_move_to had begun to copy them to another file system.
   */
  uint64_t failed;
  /**
   * 1 if max_removals was reached before all was looked at: another call may find more.
   */
  int32_t more;
} upload_cleaned;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The name of a result, as clients of a server may see it: "ok", "not_found", ...; "unknown" for a
 * number that is not in this version's list. The string is static.
 */
const char *upload_result_name(int32_t result);

/**
 * The HTTP status with which a server would answer, as in the list above: 200 for UPLOAD_OK, and 500 for a
 * number that is not in this version's list. Since 0.2.
 */
int32_t upload_result_http_status(int32_t result);

/**
 * New options with the default values, to be freed with upload_options_free.
 */
struct upload_options *upload_options_new(void);

/**
 * Frees options. NULL is allowed. Stores that were opened with them are not affected.
 */
void upload_options_free(struct upload_options *options);

/**
 * The largest total_size of a new upload, in bytes; 0 means no limit. Default 0. A larger one is
 * UPLOAD_LIMIT_EXCEEDED. This limit is checked on the first chunk of an upload only.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_total_size(struct upload_options *options,
                                                uint64_t bytes);

/**
 * The largest chunk_count of a new upload; 0 means no limit. Default 1,000,000. A larger one is
 * UPLOAD_LIMIT_EXCEEDED. Each chunk takes 32 bytes on disk, and an upload_get of an unfinished upload
 * reads them all: without a limit a client decides how long that takes. This limit is checked on the
 * first chunk of an upload only.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_chunk_count(struct upload_options *options,
                                                 uint64_t chunks);

/**
 * How many bytes must stay free on the file system after the declared size of a new upload. Default
 * 16 MiB. Where less would stay, the first chunk is answered UPLOAD_NO_SPACE.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_min_free_space(struct upload_options *options,
                                                uint64_t bytes);

/**
 * The most bytes that all uploads of the store together may take on disk; 0 means no limit. Default 0. An
 * upload counts until its file is taken, with its declared size, its table of chunks in blocks of 4 KiB,
 * and 4 KiB for its directory. A first chunk beyond the limit is UPLOAD_LIMIT_EXCEEDED. Programs with
 * this limit never promise the same room twice. All programs that use a store should set it: uploads made
 * without it count only when the store is counted again. That happens before a first chunk is refused, at
 * most once a second. So a file that was taken without a call of this library makes room a second later,
 * at the latest. If several first chunks with one upload_key arrive at the same moment, each takes room
 * until it is known that they are one upload. Near the limit some may be refused; they succeed when they
 * are sent again.
 *
 * What replaced chunks leave does not count. A client that sends chunks of wrong sizes can make an upload
 * take three times its declared size on disk, and four times while upload_get copies its chunks into
 * order. Against hostile clients set the limit to a quarter of the room. Since 0.2.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_store_size(struct upload_options *options,
                                                uint64_t bytes);

/**
 * The most uploads in the store, of all owners together; 0 means no limit. Default 0. An upload counts
 * until its file is taken. A first chunk beyond the limit is UPLOAD_LIMIT_EXCEEDED. Uploads are counted
 * as for upload_options_set_max_store_size. Since 0.2.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_uploads(struct upload_options *options,
                                             uint64_t uploads);

/**
 * 1: the store sees the uploads of every owner, as an administrator's tool does. 0, the default: it sees those
 * without an owner, and a view those of its own. Since 0.2.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_all_owners(struct upload_options *options,
                                            int32_t all);

/**
 * What uploads survive: one of the UPLOAD_DURABILITY_ values. Default UPLOAD_DURABILITY_PROCESS. An
 * upload keeps the highest level with which it was ever called. Whatever the level, upload_get returns
 * only the right bytes: after a power failure it reads what was not known to be on disk, compares it
 * with its checksum, and counts damaged chunks as missing.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_durability(struct upload_options *options,
                                            int32_t durability);

/**
 * What stands before the uid in the names of upload directories: UTF-8, up to 64 bytes, without '/'.
 * Default "".
 */
UPLOAD_MUST_USE
upload_result upload_options_set_prefix(struct upload_options *options,
                                        const char *prefix);

/**
 * Permissions of directories, whatever the umask; must include 0700, and only bits of 07777. Default 0700.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_dir_mode(struct upload_options *options,
                                          uint32_t dir_mode);

/**
 * Permissions of files, whatever the umask; must include 0600, and only bits of 0777. Default 0600. The file
 * state, on which the locks are, gets no read permission without write: who can read it can hold up its writers.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_file_mode(struct upload_options *options,
                                           uint32_t file_mode);

/**
 * Tells once more what the setter returned that was last called for these options, this time with an error
 * that says why the value was refused; UPLOAD_OK if it was accepted, or no setter was called. Fails with
 * UPLOAD_INVALID_ARGUMENT also if options is NULL. Since 0.2.
 */
upload_result upload_options_last_error(const struct upload_options *options,
                                        struct upload_error **error);

/**
 * Opens the directory path as a store and sets *store, to be freed with upload_store_free.
 *
 * Creates nothing: a server may open the store as root and receive as another user. Later, the first
 * chunk makes the directory if only the last component of its path is missing, and fails if something
 * else than a directory is there. A relative path is resolved against the current directory now, not
 * later. options may be NULL, for the defaults, and may be changed or freed afterwards.
 *
 * Symbolic links in the path are resolved now; later calls use the path without links. A link that is later
 * put in the place of the store is refused with UPLOAD_IO and errno EPERM.
 *
 * Fails with UPLOAD_INVALID_ARGUMENT if path is NULL or empty or store is NULL. Fails with UPLOAD_IO if
 * uploads are not safe on the file system, or if this cannot be found out. They are not safe on a network
 * file system. At the levels UPLOAD_DURABILITY_COMPLETE and UPLOAD_DURABILITY_CHUNK they are not safe on a
 * file system without a journal, such as ext2. Fails with UPLOAD_IO and errno EPERM if another user could
 * exchange the store. That is the case if
 * - all users may write into the directory, and it is not sticky or belongs neither to the caller nor to
 *   root, unless dir_mode lets all users write;
 * - the last component of path is a symbolic link that belongs neither to the caller nor to root;
 * - another user made the directory below one like /tmp, and it is not writable for a group of the caller.
 *   If the caller is root, this is checked only when an upload is begun or a key is used.
 * In a sticky directory that all users may write into, only files of the caller and of root are used. A call
 * that needs a file of another user fails with UPLOAD_IO and errno EPERM.
 */
UPLOAD_MUST_USE
upload_result upload_store_open(const char *path,
                                const struct upload_options *options,
                                struct upload_store **store,
                                struct upload_error **error);

/**
 * Makes a view of the store that is bound to an owner, and sets *view, a store like any other, to be freed
 * with upload_store_free; store may be freed before. owner is any bytes that name who is calling, 1 to
 * 1024: a user's id, say.
 *
 * An upload that is made through the view is UPLOAD_NOT_FOUND through every other store that is not a
 * view for the same owner and was not opened with upload_options_set_all_owners, just as if it did not
 * exist; and through the view all others are. Of the owner only a keyed digest is kept on disk.
 *
 * Fails with UPLOAD_INVALID_ARGUMENT if store, owner or view is NULL, or size is 0 or above 1024.
 */
UPLOAD_MUST_USE
upload_result upload_store_for_owner(const struct upload_store *store,
                                     const void *owner,
                                     size_t size,
                                     struct upload_store **view,
                                     struct upload_error **error);

/**
 * Frees the handle. NULL is allowed. The directory and the uploads in it stay as they are.
 */
void upload_store_free(struct upload_store *store);

/**
 * Receives one chunk. When it returns UPLOAD_OK, the chunk is kept, as safely as the store's durability
 * says, and the receipt tells which upload it belongs to.
 *
 * Chunks may come in any order, several at once, from any thread, process or connection, and more than
 * once: the same bytes again change nothing. Other bytes for a chunk replace it, as long as the upload is
 * not finished. A first chunk that is refused leaves no upload.
 *
 * A body that was cut short replaces a good chunk, too: the library cannot tell it from a smaller chunk. Compare
 * the number of bytes that arrived with Content-Length before the call, or pass a checksum.
 *
 * Fails with any result but UPLOAD_INCOMPLETE and UPLOAD_SIZE_MISMATCH; UPLOAD_INVALID_ARGUMENT also if
 * store, chunk or receipt is NULL or a struct_size is smaller than in the first release of this library.
 */
UPLOAD_MUST_USE
upload_result upload_handle_chunk(const struct upload_store *store,
                                  const struct upload_chunk *chunk,
                                  struct upload_receipt *receipt,
                                  struct upload_error **error);

/**
 * Asks for the assembled file of an upload and sets *finished, to be freed with upload_finished_free.
 *
 * The first call that finds all chunks there finishes the upload; every further one, in any process,
 * answers the same path, until the file is taken away. From then on the chunks are closed: the same
 * bytes again are accepted, others are UPLOAD_CONFLICT.
 *
 * Fails with UPLOAD_NOT_FOUND, UPLOAD_INCOMPLETE, UPLOAD_SIZE_MISMATCH, UPLOAD_CHECKSUM_MISMATCH (the
 * file does not have its file_digest), UPLOAD_GONE, UPLOAD_IO, UPLOAD_NO_SPACE or, if one of store, uid and
 * finished is NULL, UPLOAD_INVALID_ARGUMENT.
 */
UPLOAD_MUST_USE
upload_result upload_get(const struct upload_store *store,
                         const char *uid,
                         struct upload_finished **finished,
                         struct upload_error **error);

/**
 * Puts the assembled file at its permanent place, destination, finishing the upload if need be, and sets
 * *finished, whose path is the destination, to be freed with upload_finished_free; finished may be NULL.
 * From then on the upload is UPLOAD_GONE.
 *
 * A rename where that is possible. Onto another file system it is copied, by the kernel where it can,
 * and appears when it is whole: until then it is a hidden file beside the destination, and a copy that was cut
 * off goes on where it was. From level UPLOAD_DURABILITY_COMPLETE on it is on disk when the call returns. A
 * relative path is resolved against the current directory. What is there already is replaced only if
 * overwrite is 1; otherwise it is 0.
 *
 * May be repeated, after a crash at any instant: the same destination succeeds again while the file is
 * there and has its size, another is UPLOAD_GONE. Of several callers with different destinations one
 * succeeds. A copy that was begun at another destination is removed. If it cannot be removed, for example
 * because its file system became read-only, the call succeeds, and a file .upload-*.part stays there.
 *
 * Derive the destination from the uid, or store both together before the call. After a crash only the same
 * destination succeeds: a program that makes up another one gets UPLOAD_GONE, and cannot ask where the file is.
 *
 * Fails as upload_get; with UPLOAD_IO and errno EEXIST if something is there, or EISDIR if that is a
 * directory and overwrite is 1; and with UPLOAD_INVALID_ARGUMENT if store, uid or destination is NULL,
 * overwrite is neither 0 nor 1, or the destination has no file name, or lies in the store's own directory
 * or in that of an upload.
 */
UPLOAD_MUST_USE
upload_result upload_move_to(const struct upload_store *store,
                             const char *uid,
                             const char *destination,
                             int32_t overwrite,
                             struct upload_finished **finished,
                             struct upload_error **error);

/**
 * The uid of the upload.
 */
const char *upload_finished_uid(const struct upload_finished *finished);

/**
 * The absolute path of the file: in the store, then it contains the uid, or where upload_move_to put it. The
 * caller may read, rename or remove the file.
 */
const char *upload_finished_path(const struct upload_finished *finished);

/**
 * The file_name of the upload's first chunk, word for word; "" if it had none. It comes from the client
 * and may be anything, "../../etc/passwd" too: do not make a path of it.
 */
const char *upload_finished_file_name(const struct upload_finished *finished);

/**
 * How many bytes the file has.
 */
uint64_t upload_finished_total_size(const struct upload_finished *finished);

/**
 * The CRC-32C (Castagnoli) of the file, from checksums that were taken as the chunks arrived.
 */
uint32_t upload_finished_crc32c(const struct upload_finished *finished);

/**
 * Frees the handle, and the strings that were asked of it. NULL is allowed. The file stays.
 */
void upload_finished_free(struct upload_finished *finished);

/**
 * Writes the uid of the upload that was or would be made with this upload_key through this store into
 * uid, NUL-terminated: room for UPLOAD_UID_SIZE bytes. Makes no upload, and does not look whether there
 * is one; the first use of a key makes the store's directory and its secret, if need be.
 *
 * Fails with UPLOAD_INVALID_ARGUMENT if store, upload_key or uid is NULL, the key is empty or longer than
 * 256 bytes, or shorter than 16 while the store has no owner; UPLOAD_IO; UPLOAD_NO_SPACE. uid is written on
 * success only.
 */
UPLOAD_MUST_USE
upload_result upload_uid_for_key(const struct upload_store *store,
                                 const void *upload_key,
                                 size_t upload_key_size,
                                 char *uid,
                                 struct upload_error **error);

/**
 * Asks what is known of an upload and sets *inspection, to be freed with upload_inspection_free. All a
 * client needs to go on after a break, in one call.
 *
 * Takes no lock, changes nothing, and never waits; reads the table of chunks once, 32 bytes for each. The
 * missing chunks are told as ranges, from the chunk number from_chunk on; one answer holds at most 1000
 * of them. Where there are more, upload_inspection_next_chunk says from where to ask again.
 *
 * Fails with UPLOAD_NOT_FOUND, UPLOAD_IO or, if one of store, uid and inspection is NULL,
 * UPLOAD_INVALID_ARGUMENT. An upload whose file was taken is no failure: its phase says so.
 */
UPLOAD_MUST_USE
upload_result upload_inspect(const struct upload_store *store,
                             const char *uid,
                             uint64_t from_chunk,
                             struct upload_inspection **inspection,
                             struct upload_error **error);

/**
 * The uid of the upload.
 */
const char *upload_inspection_uid(const struct upload_inspection *inspection);

/**
 * The file_name of the upload's first chunk, word for word; "" if it had none. It comes from the client
 * and may be anything: do not make a path of it.
 */
const char *upload_inspection_file_name(const struct upload_inspection *inspection);

/**
 * The declared size of the file, in bytes.
 */
uint64_t upload_inspection_total_size(const struct upload_inspection *inspection);

/**
 * The declared number of chunks.
 */
uint64_t upload_inspection_chunk_count(const struct upload_inspection *inspection);

/**
 * How many bytes are in the chunks that are there.
 */
uint64_t upload_inspection_received_size(const struct upload_inspection *inspection);

/**
 * How many chunks are there. After a power failure some of them may turn out to be damaged, which
 * upload_get and upload_verify find out.
 */
uint64_t upload_inspection_received_count(const struct upload_inspection *inspection);

/**
 * What the upload is: one of the UPLOAD_PHASE_ values.
 */
int32_t upload_inspection_phase(const struct upload_inspection *inspection);

/**
 * When the last chunk was accepted or the file was last asked for: seconds since 1970-01-01 UTC.
 */
int64_t upload_inspection_last_activity(const struct upload_inspection *inspection);

/**
 * How many ranges of missing chunks this answer holds.
 */
size_t upload_inspection_missing_ranges(const struct upload_inspection *inspection);

/**
 * The first chunk number of a range; index counts from 0, and beyond the last range the answer is 0.
 */
uint64_t upload_inspection_range_first(const struct upload_inspection *inspection,
                                       size_t index);

/**
 * How many chunks a range has; index counts from 0, and beyond the last range the answer is 0.
 */
uint64_t upload_inspection_range_count(const struct upload_inspection *inspection, size_t index);

/**
 * What to pass as from_chunk to get the ranges that follow; 0 if these were the last.
 */
uint64_t upload_inspection_next_chunk(const struct upload_inspection *inspection);

/**
 * Frees the handle, and the strings that were asked of it. NULL is allowed.
 */
void upload_inspection_free(struct upload_inspection *inspection);

/**
 * Reads what is stored of an upload, compares it with the checksums that were taken when it arrived, and
 * sets *verification, to be freed with upload_verification_free.
 *
 * Damaged chunks of an unfinished upload are missing from then on, so that they can be sent again;
 * other chunks go on coming in meanwhile. On a finished file it only reports. Takes time in proportion to
 * the bytes.
 *
 * UPLOAD_OK means that it was read, whatever was found: see upload_verification_damaged_count. Fails with
 * UPLOAD_NOT_FOUND, UPLOAD_GONE, UPLOAD_IO or, if one of store, uid and verification is NULL,
 * UPLOAD_INVALID_ARGUMENT.
 */
UPLOAD_MUST_USE
upload_result upload_verify(const struct upload_store *store,
                            const char *uid,
                            struct upload_verification **verification,
                            struct upload_error **error);

/**
 * What the upload is: UPLOAD_PHASE_RECEIVING (damaged chunks are missing now) or UPLOAD_PHASE_COMPLETE
 * (nothing was changed).
 */
int32_t upload_verification_phase(const struct upload_verification *verification);

/**
 * How many chunks were read.
 */
uint64_t upload_verification_checked_count(const struct upload_verification *verification);

/**
 * How many of them are not what was received.
 */
uint64_t upload_verification_damaged_count(const struct upload_verification *verification);

/**
 * How many ranges of damaged chunks are known; at most 1000.
 */
size_t upload_verification_damaged_ranges(const struct upload_verification *verification);

/**
 * The first chunk number of a range; index counts from 0, and beyond the last range the answer is 0.
 */
uint64_t upload_verification_range_first(const struct upload_verification *verification,
                                         size_t index);

/**
 * How many chunks a range has; index counts from 0, and beyond the last range the answer is 0.
 */
uint64_t upload_verification_range_count(const struct upload_verification *verification,
                                         size_t index);

/**
 * Frees the handle. NULL is allowed.
 */
void upload_verification_free(struct upload_verification *verification);

/**
 * Removes an upload with all that belongs to it, whatever its phase. Waits for calls that are working on it;
 * calls that come later find nothing. A chunk that comes later with the same upload_key begins a new upload.
 *
 * An upload that is damaged so that it cannot be read (UPLOAD_IO with EBADMSG) is removed by upload_cleanup
 * when it is old enough.
 *
 * Fails with UPLOAD_NOT_FOUND, UPLOAD_IO or, if store or uid is NULL, UPLOAD_INVALID_ARGUMENT. If UPLOAD_IO
 * names a file .upload-*.part, the upload was removed, but this file stays: a copy to another file system
 * that upload_move_to had begun.
 */
UPLOAD_MUST_USE
upload_result upload_remove(const struct upload_store *store,
                            const char *uid,
                            struct upload_error **error);

/**
 * Removes uploads without activity for some time, and what crashes left; never one that a call is working
 * on, in whatever process. Nothing does so by itself: call it now and then. It sees what the store sees: for
 * the uploads of all owners open the store with upload_options_set_all_owners. If the time of an upload lies
 * in the future, because the clock was set back, the upload ages from the first call on.
 *
 * *cleaned, which may be NULL, is filled on success only. What could not be removed is counted there and is no
 * failure. Fails with UPLOAD_IO if the store cannot be read, and with UPLOAD_INVALID_ARGUMENT if store or
 * expiry is NULL, dry_run is neither 0 nor 1, or a struct_size is wrong.
 */
UPLOAD_MUST_USE
upload_result upload_cleanup(const struct upload_store *store,
                             const struct upload_expiry *expiry,
                             struct upload_cleaned *cleaned,
                             struct upload_error **error);

/**
 * Begins to list the uploads that this store sees, in no particular order, and sets *list, to be freed
 * with upload_list_free. A directory that does not exist is a store without uploads; what is not an upload is
 * skipped. Uploads that come or go meanwhile may be listed or not.
 *
 * Fails with UPLOAD_IO if the store cannot be read, and with UPLOAD_INVALID_ARGUMENT if store or list is
 * NULL.
 */
UPLOAD_MUST_USE
upload_result upload_list_open(const struct upload_store *store,
                               struct upload_list **list,
                               struct upload_error **error);

/**
 * Looks at the next upload and sets *listed, to be freed with upload_listed_free; after the last one to
 * NULL, with UPLOAD_OK. An upload that cannot be read is UPLOAD_IO in its place; the next call goes on
 * with the upload after it.
 *
 * Fails with UPLOAD_INVALID_ARGUMENT if list or listed is NULL.
 */
UPLOAD_MUST_USE
upload_result upload_list_next(struct upload_list *list,
                               struct upload_listed **listed,
                               struct upload_error **error);

/**
 * Frees the list. NULL is allowed.
 */
void upload_list_free(struct upload_list *list);

/**
 * The uid of the upload.
 */
const char *upload_listed_uid(const struct upload_listed *listed);

/**
 * The file_name of the upload's first chunk, word for word; "" if it had none. It comes from the client
 * and may be anything: do not make a path of it.
 */
const char *upload_listed_file_name(const struct upload_listed *listed);

/**
 * The declared size of the file, in bytes.
 */
uint64_t upload_listed_total_size(const struct upload_listed *listed);

/**
 * The declared number of chunks.
 */
uint64_t upload_listed_chunk_count(const struct upload_listed *listed);

/**
 * What the upload is: one of the UPLOAD_PHASE_ values.
 */
int32_t upload_listed_phase(const struct upload_listed *listed);

/**
 * When the last chunk was accepted or the file was last asked for: seconds since 1970-01-01 UTC.
 */
int64_t upload_listed_last_activity(const struct upload_listed *listed);

/**
 * Frees the handle, and the strings that were asked of it. NULL is allowed.
 */
void upload_listed_free(struct upload_listed *listed);

/**
 * What the call returned; UPLOAD_OK for NULL.
 */
upload_result upload_error_code(const struct upload_error *error);

/**
 * A sentence in English, UTF-8, for logs; "" for NULL, and never NULL itself. It names figures and the
 * first eight digits of the uid, quotes what the client sent with odd characters escaped, and holds no
 * content. It may change from version to version; show clients the name of the result instead.
 */
const char *upload_error_message(const struct upload_error *error);

/**
 * UPLOAD_IO and UPLOAD_NO_SPACE: the operating system's error number, as in <errno.h>.
 */
int32_t upload_error_os_errno(const struct upload_error *error);

/**
 * UPLOAD_IO and UPLOAD_NO_SPACE: the path concerned. It may contain the whole uid.
 */
const char *upload_error_path(const struct upload_error *error);

/**
 * UPLOAD_INVALID_ARGUMENT: the name of the parameter that was refused, or of the member of the struct that a
 * parameter points to, as in this header; NULL if it is not known. Of two that contradict each other it is
 * one. Since 0.2.
 */
const char *upload_error_parameter(const struct upload_error *error);

/**
 * UPLOAD_INCOMPLETE: how many chunks are missing.
 */
uint64_t upload_error_missing_count(const struct upload_error *error);

/**
 * UPLOAD_INCOMPLETE: the number of the first chunk that is missing.
 */
uint64_t upload_error_first_missing(const struct upload_error *error);

/**
 * UPLOAD_LIMIT_EXCEEDED: the name of the limit: "max_total_size", "max_chunk_count", "max_store_size" or
 * "max_uploads", as in the options, or "data_size", which is twice the declared size. Later versions may
 * have more.
 */
const char *upload_error_limit(const struct upload_error *error);

/**
 * UPLOAD_LIMIT_EXCEEDED: the value of the limit.
 */
uint64_t upload_error_limit_value(const struct upload_error *error);

/**
 * UPLOAD_SIZE_MISMATCH: how many bytes the chunks have together.
 */
uint64_t upload_error_received_size(const struct upload_error *error);

/**
 * UPLOAD_SIZE_MISMATCH: the total_size with which the upload was started.
 */
uint64_t upload_error_declared_size(const struct upload_error *error);

/**
 * Frees the error, and the strings that were asked of it. NULL is allowed.
 */
void upload_error_free(struct upload_error *error);

/**
 * The version of the library that runs, such as "1.2.3"; that of this header is UPLOAD_VERSION. The
 * string is static.
 */
const char *upload_version(void);

/**
 * The version of the library that runs as a number, which grows with every version: 1002003 is 1.2.3. That of
 * this header is UPLOAD_VERSION_NUMBER. Since 0.2.
 */
uint32_t upload_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CHUNKED_UPLOAD_H */

