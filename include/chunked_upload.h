/* Generated from bindings/c/src by `make header`.
 *
 * chunked-upload receives a file in numbered chunks, in any order, from any process, and returns the path of
 * the assembled file.
 *
 * A client cuts a file into chunks. It sends each chunk with the size of the file and the number of chunks.
 * The server passes every chunk to upload_handle_chunk and returns the uid from the receipt to the client. The
 * client puts this uid into all further chunks. When the client says that it is done, or when a receipt says
 * so, upload_get gives the path of the assembled file. A complete program:
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
 * Results. A function that can fail returns an upload_result: UPLOAD_OK, which is 0, or the kind of failure.
 * Treat an unknown value as a failure: later versions may add results. The last parameter, upload_error
 * **error, may be NULL. On failure it receives an object with the facts. On UPLOAD_OK it is set to NULL. Free
 * the object before you pass the same variable again.
 *
 * Ownership. The caller owns each object that a ** parameter returns. The caller frees it with the matching
 * _free function, which accepts NULL. Handles may be freed in any order. A call sets each of its **
 * parameters, to NULL if it returns no object. It neither reads nor frees the previous value. A const char *
 * that a function returns is owned by the handle it came from, and is valid until that handle is freed. Never
 * pass a pointer from this library to free(). The library keeps no pointer to the caller's data: it reads
 * strings, content and options only during the call.
 *
 * Arguments. Strings end with NUL. Uids and file names are UTF-8; paths are bytes. A NULL that is not
 * expressly allowed is UPLOAD_INVALID_ARGUMENT, and so is a number out of range. A pointer that is not NULL
 * must point to an object of the declared type.
 *
 * Threads. An upload_store, upload_finished, upload_inspection, upload_verification, upload_listed and
 * upload_error never change: any number of threads may use one at once. Only one thread at a time may use
 * upload_options or an upload_list. The thread that frees a handle must be its last user. The library starts
 * no threads, keeps no state outside the handles and does nothing when it is loaded.
 *
 * Processes. Any process that opened the same directory may receive any chunk of any upload in it. All state
 * lies on disk. The kernel holds the locks and releases them when a process dies. A handle made before a fork
 * works in the child. An upload_list is the exception: parent and child would share its position in the
 * directory. All descriptors are closed on exec.
 *
 * Fork during a call. If one thread forks while another thread is inside a call, the child shares the lock of
 * that call. The lock is released when the call returns. If the parent is killed before that, the child keeps
 * the lock until it execs or exits. Calls that need the lock wait that long; in the child they wait for ever.
 * The lock of a chunk delays calls for that chunk, and upload_get, upload_move_to, upload_verify and
 * upload_remove of its upload. The lock of the store delays all first chunks if the store has a max_store_size
 * or max_uploads. It also delays the removal and moving of uploads that were counted for these limits, and the
 * first upload_key of a store. All other calls continue. The library cannot prevent this: fork copies each
 * descriptor with its locks. After a parent was killed, end such children or let them exec.
 *
 * Signals and limits. Signal handlers may run during a call. An interrupted system call is resumed and never
 * causes an error. pthread_cancel waits until the call returns. Do not longjmp out of a handler during a call.
 * If the process has a limit on the size of files, ignore SIGXFSZ: the call then fails with UPLOAD_IO and
 * EFBIG. When memory runs out, the process is aborted.
 *
 * Recovery. After an interruption, upload_inspect tells in one call which chunks are missing. A client may
 * lose the answer to its first chunk. Such a client makes an upload_key and sends it with every chunk; its
 * chunks then need no uid. upload_store_for_owner gives every user a separate view of the store.
 *
 * Time. Every call blocks and cannot be interrupted. A program with an event loop makes the calls in a thread.
 * The time of upload_handle_chunk is proportional to the bytes of its chunk. It does not depend on the size of
 * the file or the number of chunks. The time of upload_get is proportional to the number of chunks: it renames
 * the file and does not copy it. In two cases the first upload_get takes time in proportion to the bytes:
 * - After a reboot or a remount it reads all data that was not known to be on disk. It compares the data with
 *   its checksums.
 * - It copies chunks that could not be written to their final place when they arrived. To avoid this, make all
 *   chunks the same size except the last.
 * This work is recorded as it proceeds: if a call is killed, the next call continues it. No call needs memory
 * in proportion to the file.
 *
 * Files. Each upload is one directory in the directory of the store. Its name is the prefix and the uid.
 * Opening a store creates nothing. The first chunk creates the directory of the store if only its last
 * component is missing. The finished file belongs to the caller: read it, rename it elsewhere or remove it.
 * The upload is UPLOAD_GONE after that. upload_move_to is the best way to put the file in its place: it moves
 * the whole file once, and may be repeated. Do not write to the file inside the store: later calls cannot
 * distinguish a change from damage. upload_remove deletes an upload. Nothing expires by itself: call
 * upload_cleanup regularly, or remove the directories yourself. The modification time of a directory is the
 * time of the last accepted chunk or upload_get, to a second.
 *
 * Network file systems (NFS, SMB, 9p and similar) and FUSE are refused with UPLOAD_IO when the store is
 * opened: they cannot keep these promises. For a path that does not exist, the file system of its nearest
 * existing parent counts. The first chunk shows whether the process may create uploads there. On a file system
 * that became read-only these calls still work: upload_get and upload_verify of a finished file,
 * upload_inspect, upload_list_open and upload_list_next. Other calls fail with UPLOAD_IO and EROFS. After a
 * reboot or a remount upload_get also fails so, if the file was not known to be on disk before.
 *
 * One upload takes as much disk space as the file has bytes, and 32 bytes for each chunk. Chunks that are sent
 * again with other bytes, or that have uneven sizes, can raise this to twice the file. Chunks of wrong sizes
 * can raise it to three times the file, but never further.
 *
 * Secrets. The uid protects an upload. A client that knows the uid may add to the upload and learn where its
 * file is. If the upload has an owner, the client must have the same owner. A uid cannot be guessed, unless it
 * was made from an upload_key that can be guessed. Messages show only its first eight digits.
 * upload_error_path and upload_finished_path may contain the whole uid, so log them with care.
 *
 * Versions. The ABI epoch is the number in the library's soname. Within an epoch no declaration is removed or
 * changed: programs compiled with an older header keep working with a newer library. A later version may add
 * functions and results. It may also add members at the end of structs with a struct_size.
 */

#ifndef CHUNKED_UPLOAD_H
#define CHUNKED_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. upload_version() is the version of the running library. */
#define UPLOAD_VERSION "0.2.0"
#define UPLOAD_VERSION_MAJOR 0
#define UPLOAD_VERSION_MINOR 2
#define UPLOAD_VERSION_PATCH 0
#define UPLOAD_VERSION_NUMBER (UPLOAD_VERSION_MAJOR * 1000000 + UPLOAD_VERSION_MINOR * 1000 + UPLOAD_VERSION_PATCH)

/* The compiler warns if a program ignores the result of a function with this mark. */
#if defined(__GNUC__) || defined(__clang__)
#define UPLOAD_MUST_USE __attribute__((warn_unused_result))
#else
#define UPLOAD_MUST_USE
#endif

/* Initialize every upload_chunk, upload_receipt, upload_expiry and upload_cleaned with one of these:
 *
 *     upload_chunk chunk = UPLOAD_CHUNK_INIT;
 *
 * They set struct_size, which tells the library which version of the struct the program was compiled
 * with, and set all other members to zero. UPLOAD_EXPIRY_INIT sets the ages to UPLOAD_KEEP. */
#define UPLOAD_CHUNK_INIT { sizeof(upload_chunk), NULL, NULL, 0, 0, 0, NULL, 0, NULL, 0, NULL, NULL }
#define UPLOAD_RECEIPT_INIT { sizeof(upload_receipt), { 0 }, 0 }
#define UPLOAD_EXPIRY_INIT { sizeof(upload_expiry), UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 0 }
#define UPLOAD_CLEANED_INIT { sizeof(upload_cleaned), 0, 0, 0, 0, 0, 0 }

/**
 * A value for upload_options_set_durability, and the default. Acknowledged chunks and finished files survive
 * the death of every process at any instant. They may be lost in a power failure.
 */
#define UPLOAD_DURABILITY_PROCESS 0

/**
 * A value for upload_options_set_durability. In addition to UPLOAD_DURABILITY_PROCESS, a finished file
 * survives a power failure after upload_get has returned it.
 */
#define UPLOAD_DURABILITY_COMPLETE 1

/**
 * A value for upload_options_set_durability. In addition to UPLOAD_DURABILITY_COMPLETE, every acknowledged
 * chunk survives a power failure.
 */
#define UPLOAD_DURABILITY_CHUNK 2

/**
 * The size of a buffer for a uid with its NUL, in this and all later versions. A uid is always shorter. Its
 * exact length and its characters may change.
 */
#define UPLOAD_UID_SIZE 64

/**
 * A phase of an upload: it is not finished. Chunks may be missing, or all chunks are there and upload_get was
 * not called yet.
 */
#define UPLOAD_PHASE_RECEIVING 1

/**
 * A phase of an upload: the finished file is there.
 */
#define UPLOAD_PHASE_COMPLETE 2

/**
 * A phase of an upload: the finished file was taken away.
 */
#define UPLOAD_PHASE_GONE 3

/**
 * An age that no upload reaches. 0 has the same meaning.
 */
#define UPLOAD_KEEP UINT64_MAX

/**
 * An age that every upload has reached: upload_cleanup removes uploads at once.
 */
#define UPLOAD_ANY_AGE (UINT64_MAX - 1)

/**
 * The result of a call. The numbers never change, and no number is used again for another result. 1 to 19 are
 * mistakes of the caller, and 20 to 39 are states of an upload. 40 to 59 come from storage, and numbers from
 * 90 are internal. The number in parentheses is the HTTP status with which a server would answer.
 */
enum upload_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The call succeeded. (200)
   */
  UPLOAD_OK = 0,
  /**
   * The request is malformed or contradicts itself: for example a NULL, text that is not UTF-8, a chunk
   * number that is not below the count, or sizes that cannot add up. A malformed uid is UPLOAD_NOT_FOUND
   * instead. Nothing was stored. Do not repeat the call with the same arguments. upload_error_parameter and
   * upload_error_message give the reason. (400)
   */
  UPLOAD_INVALID_ARGUMENT = 1,
  /**
   * A new upload would exceed a limit of the store's options, or a chunk would raise the upload's data above
   * twice its declared size. upload_error_limit and upload_error_limit_value give the limit. Nothing was
   * stored. After "data_size" the chunk that the call was to replace may be missing. Send the refused chunks
   * again after the others. (413)
   */
  UPLOAD_LIMIT_EXCEEDED = 2,
  /**
   * From upload_handle_chunk: the content does not match its checksum. Nothing was stored; send the chunk
   * again. From upload_get and upload_move_to: the file does not match its file_digest. (400)
   */
  UPLOAD_CHECKSUM_MISMATCH = 3,
  /**
   * The upload does not exist for this store: the uid is unknown or malformed, the upload was removed, or it
   * is in another store or has another owner. The library does not tell these cases apart. Start a new
   * upload. (404)
   */
  UPLOAD_NOT_FOUND = 20,
  /**
   * From upload_get and upload_move_to: chunks are missing. upload_error_missing_count gives their number,
   * and upload_error_first_missing the first of them. Send the missing chunks, then repeat the call. (409)
   */
  UPLOAD_INCOMPLETE = 21,
  /**
   * The chunk contradicts the upload. Its total_size, chunk_count or file_digest may differ from the first
   * chunk's, in any phase of the upload. Or the file is finished and the bytes differ. Nothing was stored.
   * (409)
   */
  UPLOAD_CONFLICT = 22,
  /**
   * From upload_get and upload_move_to: no chunk is missing, but the sizes of the chunks do not add up to
   * total_size. upload_error_received_size and upload_error_declared_size give both sizes. The upload stays
   * open; send the wrong chunks again. (409)
   */
  UPLOAD_SIZE_MISMATCH = 23,
  /**
   * The file was finished and then taken away. It does not come back. (410)
   */
  UPLOAD_GONE = 24,
  /**
   * The operating system refused an operation, or the directory contains a foreign or damaged file
   * (EBADMSG). upload_error_os_errno and upload_error_path give the details. Remove the cause, then repeat
   * the call. Acknowledged chunks are safe, except a chunk that this call was to replace. (500)
   */
  UPLOAD_IO = 40,
  /**
   * The disk is full, a quota is used up, or less than min_free_space would stay free. Repeat the call when
   * space is free again. Acknowledged chunks are safe, except a chunk that this call was to replace. (507)
   */
  UPLOAD_NO_SPACE = 41,
  /**
   * The library has a defect. Please report the message. Other calls are not affected. (500)
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
 * The reason for a failure. Threads may share it, and it may outlive the store. The functions below accept
 * every error. They return NULL or 0 if a fact does not apply or error is NULL. upload_error_message never
 * returns NULL.
 */
typedef struct upload_error upload_error;

/**
 * A finished upload. Threads may share it, and it may outlive the store. It keeps its values when the file
 * changes or disappears. The functions below return NULL or 0 if finished is NULL.
 */
typedef struct upload_finished upload_finished;

/**
 * The state of an upload. Threads may share it, and it may outlive the store. The functions below return NULL
 * or 0 if inspection is NULL.
 */
typedef struct upload_inspection upload_inspection;

/**
 * A list of the uploads in a store. Only one thread at a time may use it. It may outlive the store.
 */
typedef struct upload_list upload_list;

/**
 * One upload of a list. Threads may share it, and it may outlive the list. The functions below return NULL or
 * 0 if listed is NULL.
 */
typedef struct upload_listed upload_listed;

/**
 * The options of a store. upload_options_new makes them with the default values, the setters change them, and
 * upload_store_open copies them. Only one thread at a time may use them.
 *
 * Options belong to the store handle, not to the directory. Two programs may open the same directory with
 * different options. Programs with the same prefix see the same uploads; programs with different prefixes do
 * not.
 *
 * A setter refuses a value with which no store could work, or options that are NULL. It then returns
 * UPLOAD_INVALID_ARGUMENT and leaves the options unchanged. upload_options_last_error gives the reason.
 */
typedef struct upload_options upload_options;

/**
 * A directory that receives uploads, with the options of this program.
 *
 * A store is an absolute path and options: it holds no descriptor, lock or thread. Any number of threads may
 * use it at once, and so may the children of a fork. It must outlive the calls that use it. It need not
 * outlive the handles that they returned.
 */
typedef struct upload_store upload_store;

/**
 * The result of upload_verify. Threads may share it, and it may outlive the store. The functions below return
 * 0 if verification is NULL.
 */
typedef struct upload_verification upload_verification;

/**
 * One chunk of a file, as it came from the client. Start with UPLOAD_CHUNK_INIT and set the members. Zero
 * always means that a value is absent. The library reads the struct and the data it points to only during the
 * call, and changes nothing.
 *
 * Later versions append members. struct_size tells the library which members the program knows. An older
 * library accepts a larger struct if the part it does not know is zero. Otherwise it returns
 * UPLOAD_INVALID_ARGUMENT, so that it never silently ignores a request.
 */
typedef struct upload_chunk {
  /**
   * sizeof(upload_chunk), which UPLOAD_CHUNK_INIT sets.
   */
  size_t struct_size;
  /**
   * NULL or "" starts an upload. Further chunks need the uid from the first receipt.
   */
  const char *upload_uid;
  /**
   * The client's name for the file: UTF-8, at most 4096 bytes. The library keeps the name of the first chunk
   * unchanged and never uses it in a path. May be NULL.
   */
  const char *file_name;
  /**
   * The size of the whole file in bytes, at most 2^63 - 1. It is the same in every chunk of an upload.
   */
  uint64_t total_size;
  /**
   * The number of this chunk, counted from 0.
   */
  uint64_t chunk_number;
  /**
   * The number of chunks, 1 to 2^63 - 1. It is the same in every chunk of an upload.
   */
  uint64_t chunk_count;
  /**
   * The bytes of this chunk. May be NULL if content_size is 0.
   */
  const void *content;
  /**
   * The number of bytes in content. Make all chunks the same size except the last. Other sizes are accepted
   * if they can add up: no chunk may have more than total_size bytes, and an only chunk must have total_size
   * bytes.
   */
  size_t content_size;
  /**
   * A name for the upload that the client made, as any bytes. It replaces the uid, and is ignored if there
   * is an upload_uid. Chunks with the same key join one upload, in any order and however often they are
   * sent. The receipt gives the uid of that upload. A key has at most 256 bytes, even if it is ignored.
   * Without an owner, a key needs at least 16 unguessable bytes. NULL for none. Since 0.2.
   */
  const void *upload_key;
  /**
   * The number of bytes in upload_key; 0 for none.
   */
  size_t upload_key_size;
  /**
   * Checksums of the content, written as in the header field Content-Digest (RFC 9530): "crc32c=:...:",
   * "sha-256=:...:", or both with a comma between them. The value between the colons is base64. A crc32c has
   * four bytes, the highest first. Unknown algorithms are ignored if a known one is present. A value with
   * only unknown ones is UPLOAD_INVALID_ARGUMENT: decide before the call how to answer such a request. If
   * the content does not match, the chunk is UPLOAD_CHECKSUM_MISMATCH and nothing is stored. NULL or "" for
   * none. Since 0.2.
   */
  const char *checksum;
  /**
   * Checksums of the whole file, written as for checksum, as in the header field Repr-Digest. They are
   * compared when the upload is finished. If the file does not match, upload_get is
   * UPLOAD_CHECKSUM_MISMATCH. The upload then stays open, and chunks that are sent again can repair it. The
   * value of the first chunk counts. Later chunks repeat it or leave it out. A later chunk with another
   * value, or with a value that the first chunk did not have, is UPLOAD_CONFLICT. NULL or "" for none. Since
   * 0.2.
   */
  const char *file_digest;
} upload_chunk;

/**
 * The answer to an accepted chunk. Start with UPLOAD_RECEIPT_INIT. It is written on success only. So one
 * receipt can serve all chunks of an upload, and upload_chunk.upload_uid may point into it.
 *
 * Later versions append members. The library writes the members that it knows and that struct_size covers. It
 * does not change the other bytes or struct_size.
 */
typedef struct upload_receipt {
  /**
   * sizeof(upload_receipt), which UPLOAD_RECEIPT_INIT sets.
   */
  size_t struct_size;
  /**
   * The uid of the upload, NUL-terminated. Only this program and the client should know it.
   */
  char upload_uid[UPLOAD_UID_SIZE];
  /**
   * 1 if this call found that all chunks are there, otherwise 0. This is a hint for clients that do not
   * signal the end of their upload. upload_get decides.
   */
  int32_t received_all;
} upload_receipt;

/**
 * The ages at which upload_cleanup removes uploads. An age is the time since the last activity, in seconds; 0
 * and UPLOAD_KEEP keep the uploads. Start with UPLOAD_EXPIRY_INIT, which keeps everything, and set ages. A
 * struct of zeros with its struct_size also keeps everything. Later versions append members, as to
 * upload_chunk.
 */
typedef struct upload_expiry {
  /**
   * sizeof(upload_expiry), which UPLOAD_EXPIRY_INIT sets.
   */
  size_t struct_size;
  /**
   * The age for unfinished uploads, and for files that crashes left.
   */
  uint64_t unfinished_age;
  /**
   * The age for finished uploads whose file was not taken.
   */
  uint64_t finished_age;
  /**
   * The age for the records of uploads whose file was taken. While the record exists, a late chunk is
   * UPLOAD_GONE. After its removal a late chunk is UPLOAD_NOT_FOUND; with an upload_key it begins a new
   * upload.
   */
  uint64_t gone_age;
  /**
   * The most uploads that this call removes; 0 means 1000.
   */
  uint64_t max_removals;
  /**
   * 1: count the uploads, but remove nothing. 0: remove them.
   */
  int32_t dry_run;
} upload_expiry;

/**
 * The uploads that upload_cleanup removed, or would have removed without dry_run. Start with
 * UPLOAD_CLEANED_INIT. Later versions append members, as to upload_receipt.
 */
typedef struct upload_cleaned {
  /**
   * sizeof(upload_cleaned), which UPLOAD_CLEANED_INIT sets.
   */
  size_t struct_size;
  /**
   * The number of unfinished uploads.
   */
  uint64_t unfinished;
  /**
   * The number of finished uploads.
   */
  uint64_t finished;
  /**
   * The number of records of uploads whose file was taken.
   */
  uint64_t gone;
  /**
   * The number of entries that crashes left: entries with the name of an upload that are not uploads.
   */
  uint64_t leftovers;
  /**
   * The number of uploads that are old enough but could not be removed. A removed upload also counts here if
   * a file .upload-*.part stays where upload_move_to had begun to copy it to another file system.
   */
  uint64_t failed;
  /**
   * 1 if max_removals was reached before the end of the store: another call may find more uploads. Otherwise
   * 0.
   */
  int32_t more;
} upload_cleaned;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The name of a result: "ok", "not_found" and so on, or "unknown" for a number that this version does not
 * know. A server may show it to its clients. The string is static.
 */
const char *upload_result_name(int32_t result);

/**
 * The HTTP status with which a server would answer: 200 for UPLOAD_OK, the number in parentheses above for a
 * failure, or 500 for a number that this version does not know. Since 0.2.
 */
int32_t upload_result_http_status(int32_t result);

/**
 * Makes options with the default values. Free them with upload_options_free. Returns NULL only if the library
 * has a defect.
 */
struct upload_options *upload_options_new(void);

/**
 * Frees options. NULL is allowed. Stores that were opened with them are not affected.
 */
void upload_options_free(struct upload_options *options);

/**
 * The largest total_size of a new upload, in bytes. 0, the default, means no limit. A larger total_size is
 * UPLOAD_LIMIT_EXCEEDED. Only the first chunk of an upload is checked.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_total_size(struct upload_options *options,
                                                uint64_t bytes);

/**
 * The largest chunk_count of a new upload. 0 means no limit; the default is 1,000,000. A larger chunk_count is
 * UPLOAD_LIMIT_EXCEEDED. Only the first chunk of an upload is checked. Each chunk takes 32 bytes on disk, and
 * upload_get of an unfinished upload reads all of them. Without a limit a client decides how long that takes.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_chunk_count(struct upload_options *options,
                                                 uint64_t chunks);

/**
 * The number of bytes that must stay free on the file system after the declared size of a new upload. The
 * default is 16 MiB. If fewer bytes would stay free, the first chunk is UPLOAD_NO_SPACE.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_min_free_space(struct upload_options *options,
                                                uint64_t bytes);

/**
 * The most bytes that all uploads of the store together may take on disk. 0, the default, means no limit. A
 * first chunk beyond the limit is UPLOAD_LIMIT_EXCEEDED. An upload counts until its file is taken: its
 * declared size, its table of chunks in blocks of 4 KiB, and 4 KiB for its directory.
 *
 * Programs with this limit never promise the same space twice. All programs that use a store should set it. An
 * upload that was made without the limit counts only after the store is counted again. The store is counted
 * again before a first chunk is refused, at most once a second. So a file that was taken without a call of
 * this library frees its space a second later, at the latest.
 *
 * Several first chunks with one upload_key may arrive at the same moment. Each takes space until the library
 * knows that they are one upload. Near the limit some may be refused; they succeed when they are sent again.
 *
 * The remains of replaced chunks do not count. A client that sends chunks of wrong sizes can make an upload
 * take three times its declared size on disk. While upload_get copies the chunks into order, it can take four
 * times its declared size. Against hostile clients set the limit to a quarter of the space. Since 0.2.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_store_size(struct upload_options *options,
                                                uint64_t bytes);

/**
 * The most uploads in the store, of all owners together. 0, the default, means no limit. A first chunk beyond
 * the limit is UPLOAD_LIMIT_EXCEEDED. An upload counts until its file is taken. The store is counted again as
 * for upload_options_set_max_store_size. Since 0.2.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_max_uploads(struct upload_options *options,
                                             uint64_t uploads);

/**
 * 1: the store sees the uploads of every owner, for administrators' tools. 0, the default: the store sees the
 * uploads without an owner. A view from upload_store_for_owner sees only the uploads of its owner, whatever
 * this option is. Since 0.2.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_all_owners(struct upload_options *options,
                                            int32_t all);

/**
 * The failures that uploads survive: one of the UPLOAD_DURABILITY_ values. The default is
 * UPLOAD_DURABILITY_PROCESS. An upload keeps the highest level with which it was ever called. upload_get
 * returns only the right bytes at every level. After a power failure it reads the data that was not known to
 * be on disk. It compares the data with its checksums, and counts damaged chunks as missing.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_durability(struct upload_options *options,
                                            int32_t durability);

/**
 * The text before the uid in the names of upload directories: UTF-8, at most 64 bytes, without '/'. The
 * default is "".
 */
UPLOAD_MUST_USE
upload_result upload_options_set_prefix(struct upload_options *options,
                                        const char *prefix);

/**
 * The permissions of directories, whatever the umask is. The mode must include 0700 and have no bits outside
 * 07777. The default is 0700.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_dir_mode(struct upload_options *options,
                                          uint32_t dir_mode);

/**
 * The permissions of files, whatever the umask is. The mode must include 0600 and have no bits outside 0777.
 * The default is 0600. A user who can read the file named state can lock it and so delay writers. Therefore
 * that file gives read permission only together with write permission.
 */
UPLOAD_MUST_USE
upload_result upload_options_set_file_mode(struct upload_options *options,
                                           uint32_t file_mode);

/**
 * Returns the result of the last setter that was called for these options, with an error that gives the
 * reason. Returns UPLOAD_OK if that setter succeeded or no setter was called. Returns UPLOAD_INVALID_ARGUMENT
 * if options is NULL. The call may be repeated. Since 0.2.
 */
upload_result upload_options_last_error(const struct upload_options *options,
                                        struct upload_error **error);

/**
 * Opens the directory path as a store and sets *store. Free it with upload_store_free.
 *
 * Opening creates nothing: a server may open the store as root and receive chunks as another user. The first
 * chunk creates the directory if only the last component of its path is missing. It fails if the path is not a
 * directory. The current directory at the time of this call resolves a relative path. options may be NULL for
 * the defaults. The caller may change or free options afterwards.
 *
 * This call resolves symbolic links in the path; later calls use the path without links. If a link later
 * replaces the store, calls fail with UPLOAD_IO and errno EPERM.
 *
 * Fails with UPLOAD_INVALID_ARGUMENT if path is NULL or empty, or store is NULL.
 *
 * Fails with UPLOAD_IO if uploads are not safe on the file system, or if the library cannot find this out.
 * Uploads are not safe on a network file system. At the levels UPLOAD_DURABILITY_COMPLETE and
 * UPLOAD_DURABILITY_CHUNK they are not safe on a file system without a journal, such as ext2.
 *
 * Fails with UPLOAD_IO and errno EPERM if another user could exchange the store. That is the case if
 * - all users may write into the directory although dir_mode does not let them, and it is not sticky or
 *   belongs neither to the caller nor to root;
 * - the last component of path is a symbolic link that belongs neither to the caller nor to root;
 * - another user made the directory below a directory like /tmp, and it is not writable for a group of the
 *   caller. If the caller is root, this is checked only when an upload is begun or a key is used.
 *
 * In a sticky directory that all users may write into, the library uses only files of the caller and of root.
 * A call that needs a file of another user fails with UPLOAD_IO and errno EPERM.
 */
UPLOAD_MUST_USE
upload_result upload_store_open(const char *path,
                                const struct upload_options *options,
                                struct upload_store **store,
                                struct upload_error **error);

/**
 * Makes a view of the store for one owner and sets *view. Free it with upload_store_free. The view is an
 * upload_store. The store may be freed before its view. A view of a view belongs to the new owner only. owner
 * is 1 to 1024 bytes that identify the caller, for example a user's id.
 *
 * A view sees only the uploads that were made through views for the same owner. All other uploads are
 * UPLOAD_NOT_FOUND through it. An upload that was made through a view is UPLOAD_NOT_FOUND through other
 * stores. Only views for the same owner, and stores opened with upload_options_set_all_owners, see it. The
 * disk holds only a keyed digest of the owner.
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
 * Frees the handle. NULL is allowed. The directory and its uploads stay unchanged.
 */
void upload_store_free(struct upload_store *store);

/**
 * Receives one chunk. After UPLOAD_OK the chunk is kept, with the durability of the store, and the receipt
 * gives the uid of its upload.
 *
 * Chunks may come in any order, several at once, from any thread, process or connection, and more than once.
 * The same bytes again change nothing. Other bytes replace the chunk, until the upload is finished. A refused
 * first chunk leaves no upload.
 *
 * A body that was cut short also replaces a good chunk: the library cannot distinguish it from a smaller
 * chunk. Before the call, compare the number of received bytes with Content-Length, or pass a checksum.
 *
 * Fails with any result except UPLOAD_INCOMPLETE and UPLOAD_SIZE_MISMATCH. UPLOAD_INVALID_ARGUMENT also means
 * that store, chunk or receipt is NULL, or that a struct_size is wrong: smaller than in the first release,
 * within a member, or above 4096 for the chunk.
 */
UPLOAD_MUST_USE
upload_result upload_handle_chunk(const struct upload_store *store,
                                  const struct upload_chunk *chunk,
                                  struct upload_receipt *receipt,
                                  struct upload_error **error);

/**
 * Returns the assembled file of an upload: sets *finished. Free it with upload_finished_free.
 *
 * The first call that finds all chunks there finishes the upload. Every further call, in any process, returns
 * the same path until the file is taken away. A finished upload accepts chunks with the same bytes; chunks
 * with other bytes are UPLOAD_CONFLICT.
 *
 * Fails with UPLOAD_NOT_FOUND, UPLOAD_INCOMPLETE, UPLOAD_SIZE_MISMATCH, UPLOAD_CHECKSUM_MISMATCH (the file
 * does not match its file_digest), UPLOAD_GONE, UPLOAD_IO or UPLOAD_NO_SPACE. Fails with
 * UPLOAD_INVALID_ARGUMENT if store, uid or finished is NULL.
 */
UPLOAD_MUST_USE
upload_result upload_get(const struct upload_store *store,
                         const char *uid,
                         struct upload_finished **finished,
                         struct upload_error **error);

/**
 * Moves the assembled file to destination, its permanent place, and finishes the upload first if necessary.
 * Sets *finished, whose path is the destination. Free it with upload_finished_free. finished may be NULL.
 * After the move the upload is UPLOAD_GONE.
 *
 * The file is renamed if possible. On another file system it is copied, by the kernel if possible. The copy is
 * a hidden file beside the destination until it is whole. An interrupted copy continues where it stopped. At
 * the levels UPLOAD_DURABILITY_COMPLETE and UPLOAD_DURABILITY_CHUNK the file is on disk when the call returns.
 * The current directory resolves a relative path. If overwrite is 1, an existing file is replaced; if
 * overwrite is 0, it is not.
 *
 * The call may be repeated after a crash at any instant. The same destination succeeds again while the file is
 * there and has its size. Another destination is UPLOAD_GONE. Of several callers with different destinations
 * one succeeds. A copy that was begun at another destination is removed. If it cannot be removed, for example
 * because its file system became read-only, the call succeeds and a file .upload-*.part stays there.
 *
 * Derive the destination from the uid, or store both together before the call. After a crash only the same
 * destination succeeds. A program that makes up another destination gets UPLOAD_GONE, and cannot ask where the
 * file is.
 *
 * Fails as upload_get does. If the destination exists and overwrite is 0, fails with UPLOAD_IO and errno
 * EEXIST. If the destination is a directory and overwrite is 1, the errno is EISDIR. Fails with
 * UPLOAD_INVALID_ARGUMENT if store, uid or destination is NULL, or overwrite is neither 0 nor 1. Also fails so
 * if the destination has no file name, or lies in the directory of the store or of an upload.
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
 * The absolute path of the file. A path in the store contains the uid. After upload_move_to the path is the
 * destination. The caller may read, rename or remove the file.
 */
const char *upload_finished_path(const struct upload_finished *finished);

/**
 * The unchanged file_name of the upload's first chunk, or "" if it had none. The client chose it, so it may be
 * any text, even "../../etc/passwd". Do not use it as a path.
 */
const char *upload_finished_file_name(const struct upload_finished *finished);

/**
 * The size of the file in bytes.
 */
uint64_t upload_finished_total_size(const struct upload_finished *finished);

/**
 * The CRC-32C (Castagnoli) of the file, combined from the checksums of the chunks as they arrived.
 */
uint32_t upload_finished_crc32c(const struct upload_finished *finished);

/**
 * Frees the handle and its strings. NULL is allowed. The file stays.
 */
void upload_finished_free(struct upload_finished *finished);

/**
 * Writes the uid that belongs to upload_key in this store into uid, NUL-terminated. uid needs room for
 * UPLOAD_UID_SIZE bytes. The call makes no upload, and does not check whether the upload exists. The first use
 * of a key makes the directory of the store and its secret if they are missing.
 *
 * Fails with UPLOAD_INVALID_ARGUMENT if store, upload_key or uid is NULL, or upload_key_size is not 1 to 256.
 * Without an owner the smallest size is 16. Fails with UPLOAD_IO or UPLOAD_NO_SPACE if the secret cannot be
 * read or made. uid is written on success only.
 */
UPLOAD_MUST_USE
upload_result upload_uid_for_key(const struct upload_store *store,
                                 const void *upload_key,
                                 size_t upload_key_size,
                                 char *uid,
                                 struct upload_error **error);

/**
 * Reads the state of an upload and sets *inspection. Free it with upload_inspection_free. One call gives a
 * client all it needs to continue after an interruption.
 *
 * The call takes no lock, changes nothing and never waits. It reads the table of chunks once, 32 bytes for
 * each chunk. It returns the missing chunks as ranges, from the chunk number from_chunk on, at most 1000
 * ranges. If there are more, upload_inspection_next_chunk gives the from_chunk of the next call.
 *
 * Fails with UPLOAD_NOT_FOUND or UPLOAD_IO. Fails with UPLOAD_INVALID_ARGUMENT if store, uid or inspection is
 * NULL. It succeeds for an upload whose file was taken, with UPLOAD_PHASE_GONE.
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
 * The unchanged file_name of the upload's first chunk, or "" if it had none. The client chose it, so it may be
 * any text. Do not use it as a path.
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
 * The number of bytes in the received chunks.
 */
uint64_t upload_inspection_received_size(const struct upload_inspection *inspection);

/**
 * The number of received chunks. After a power failure some of them may be damaged; upload_get and
 * upload_verify detect this.
 */
uint64_t upload_inspection_received_count(const struct upload_inspection *inspection);

/**
 * The phase of the upload: one of the UPLOAD_PHASE_ values.
 */
int32_t upload_inspection_phase(const struct upload_inspection *inspection);

/**
 * The time of the last accepted chunk or upload_get, in seconds since 1970-01-01 UTC.
 */
int64_t upload_inspection_last_activity(const struct upload_inspection *inspection);

/**
 * The number of ranges of missing chunks in this inspection.
 */
size_t upload_inspection_missing_ranges(const struct upload_inspection *inspection);

/**
 * The first chunk number of a range. index counts from 0. Returns 0 if index is beyond the last range.
 */
uint64_t upload_inspection_range_first(const struct upload_inspection *inspection,
                                       size_t index);

/**
 * The number of chunks in a range. index counts from 0. Returns 0 if index is beyond the last range.
 */
uint64_t upload_inspection_range_count(const struct upload_inspection *inspection,
                                       size_t index);

/**
 * The from_chunk with which upload_inspect returns the next ranges, or 0 if there are no more.
 */
uint64_t upload_inspection_next_chunk(const struct upload_inspection *inspection);

/**
 * Frees the handle and its strings. NULL is allowed.
 */
void upload_inspection_free(struct upload_inspection *inspection);

/**
 * Reads the stored bytes of an upload, compares them with the checksums from their arrival, and sets
 * *verification. Free it with upload_verification_free.
 *
 * Damaged chunks of an unfinished upload become missing, so that they can be sent again. Other chunks can
 * arrive during the call. For a finished file the call changes nothing. It takes time in proportion to the
 * bytes.
 *
 * UPLOAD_OK means that the bytes were read; upload_verification_damaged_count tells whether they are damaged.
 * Fails with UPLOAD_NOT_FOUND, UPLOAD_GONE or UPLOAD_IO. Fails with UPLOAD_INVALID_ARGUMENT if store, uid or
 * verification is NULL.
 */
UPLOAD_MUST_USE
upload_result upload_verify(const struct upload_store *store,
                            const char *uid,
                            struct upload_verification **verification,
                            struct upload_error **error);

/**
 * The phase of the upload: UPLOAD_PHASE_RECEIVING (damaged chunks are missing now) or UPLOAD_PHASE_COMPLETE
 * (nothing was changed).
 */
int32_t upload_verification_phase(const struct upload_verification *verification);

/**
 * The number of chunks that were read.
 */
uint64_t upload_verification_checked_count(const struct upload_verification *verification);

/**
 * The number of chunks that differ from the received bytes.
 */
uint64_t upload_verification_damaged_count(const struct upload_verification *verification);

/**
 * The number of ranges of damaged chunks, at most 1000.
 */
size_t upload_verification_damaged_ranges(const struct upload_verification *verification);

/**
 * The first chunk number of a range. index counts from 0. Returns 0 if index is beyond the last range.
 */
uint64_t upload_verification_range_first(const struct upload_verification *verification,
                                         size_t index);

/**
 * The number of chunks in a range. index counts from 0. Returns 0 if index is beyond the last range.
 */
uint64_t upload_verification_range_count(const struct upload_verification *verification,
                                         size_t index);

/**
 * Frees the handle. NULL is allowed.
 */
void upload_verification_free(struct upload_verification *verification);

/**
 * Removes an upload with all its files, in any phase. Waits for calls that use the upload; later calls return
 * UPLOAD_NOT_FOUND. A later chunk with the same upload_key begins a new upload.
 *
 * If the records of an upload are damaged, this call fails with UPLOAD_IO and EBADMSG. upload_cleanup removes
 * such an upload when it is old enough.
 *
 * Fails with UPLOAD_NOT_FOUND or UPLOAD_IO. Fails with UPLOAD_INVALID_ARGUMENT if store or uid is NULL. If the
 * path of UPLOAD_IO is a file .upload-*.part, the upload was removed, but this file stays. upload_move_to had
 * begun it as a copy to another file system.
 */
UPLOAD_MUST_USE
upload_result upload_remove(const struct upload_store *store,
                            const char *uid,
                            struct upload_error **error);

/**
 * Removes uploads without recent activity, and files that crashes left. It never removes an upload that a call
 * in any process is using. The library does not call it: call it regularly. It removes only uploads that the
 * store sees. To clean the uploads of all owners, open the store with upload_options_set_all_owners. If the
 * clock was set back, the last activity of an upload may lie in the future. The upload then ages from the
 * first call on.
 *
 * *cleaned is written on success only; cleaned may be NULL. Uploads that could not be removed are counted
 * there and are no failure.
 *
 * Fails with UPLOAD_IO if the store cannot be read. Fails with UPLOAD_INVALID_ARGUMENT if store or expiry is
 * NULL, dry_run is neither 0 nor 1, or a struct_size is wrong.
 */
UPLOAD_MUST_USE
upload_result upload_cleanup(const struct upload_store *store,
                             const struct upload_expiry *expiry,
                             struct upload_cleaned *cleaned,
                             struct upload_error **error);

/**
 * Begins a list of the uploads that this store sees, in no particular order, and sets *list. Free it with
 * upload_list_free. A directory that does not exist gives an empty list. Entries that are not uploads are
 * skipped. Uploads that are made or removed during the listing may be listed or not.
 *
 * Fails with UPLOAD_IO if the store cannot be read. Fails with UPLOAD_INVALID_ARGUMENT if store or list is
 * NULL.
 */
UPLOAD_MUST_USE
upload_result upload_list_open(const struct upload_store *store,
                               struct upload_list **list,
                               struct upload_error **error);

/**
 * Reads the next upload and sets *listed. Free it with upload_listed_free. After the last upload it sets
 * *listed to NULL and returns UPLOAD_OK. For an upload that cannot be read it returns UPLOAD_IO; the next call
 * continues with the next upload.
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
 * The unchanged file_name of the upload's first chunk, or "" if it had none. The client chose it, so it may be
 * any text. Do not use it as a path.
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
 * The phase of the upload: one of the UPLOAD_PHASE_ values.
 */
int32_t upload_listed_phase(const struct upload_listed *listed);

/**
 * The time of the last accepted chunk or upload_get, in seconds since 1970-01-01 UTC.
 */
int64_t upload_listed_last_activity(const struct upload_listed *listed);

/**
 * Frees the handle and its strings. NULL is allowed.
 */
void upload_listed_free(struct upload_listed *listed);

/**
 * The result that the call returned, or UPLOAD_OK if error is NULL.
 */
upload_result upload_error_code(const struct upload_error *error);

/**
 * A sentence in English, UTF-8, for logs. It is never NULL; it is "" if error is NULL. It contains numbers and
 * the first eight digits of the uid. It quotes text from the client with unusual characters escaped. It never
 * contains content. Later versions may change it; show clients the name of the result instead.
 */
const char *upload_error_message(const struct upload_error *error);

/**
 * UPLOAD_IO and UPLOAD_NO_SPACE: the operating system's error number, as in <errno.h>.
 */
int32_t upload_error_os_errno(const struct upload_error *error);

/**
 * UPLOAD_IO and UPLOAD_NO_SPACE: the path of the file or directory. It may contain the whole uid.
 */
const char *upload_error_path(const struct upload_error *error);

/**
 * UPLOAD_INVALID_ARGUMENT: the name of the refused parameter, or of the refused member of a struct, as in this
 * header. NULL if it is not known. A wrong size of a buffer names its pointer, and a wrong struct_size the
 * parameter that points to the struct. If two values contradict each other, it names one of them. Since 0.2.
 */
const char *upload_error_parameter(const struct upload_error *error);

/**
 * UPLOAD_INCOMPLETE: the number of missing chunks.
 */
uint64_t upload_error_missing_count(const struct upload_error *error);

/**
 * UPLOAD_INCOMPLETE: the number of the first missing chunk.
 */
uint64_t upload_error_first_missing(const struct upload_error *error);

/**
 * UPLOAD_LIMIT_EXCEEDED: the name of the limit. "max_total_size", "max_chunk_count", "max_store_size" and
 * "max_uploads" are options. "data_size" is twice the declared size. Later versions may add limits.
 */
const char *upload_error_limit(const struct upload_error *error);

/**
 * UPLOAD_LIMIT_EXCEEDED: the value of the limit.
 */
uint64_t upload_error_limit_value(const struct upload_error *error);

/**
 * UPLOAD_SIZE_MISMATCH: the sum of the sizes of the chunks, in bytes.
 */
uint64_t upload_error_received_size(const struct upload_error *error);

/**
 * UPLOAD_SIZE_MISMATCH: the total_size of the upload's first chunk.
 */
uint64_t upload_error_declared_size(const struct upload_error *error);

/**
 * Frees the error and its strings. NULL is allowed.
 */
void upload_error_free(struct upload_error *error);

/**
 * The version of the running library, for example "1.2.3". UPLOAD_VERSION is the version of this header. The
 * string is static.
 */
const char *upload_version(void);

/**
 * The version of the running library as a number: 1002003 is 1.2.3. It grows with every version.
 * UPLOAD_VERSION_NUMBER is the number of this header. Since 0.2.
 */
uint32_t upload_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CHUNKED_UPLOAD_H */

