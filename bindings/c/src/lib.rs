//! chunked-upload receives a file in numbered chunks, in any order, from any process, and returns the path of
//! the assembled file.
//!
//! A client cuts a file into chunks. It sends each chunk with the size of the file and the number of chunks.
//! The server passes every chunk to upload_handle_chunk and returns the uid from the receipt to the client. The
//! client puts this uid into all further chunks. When the client says that it is done, or when a receipt says
//! so, upload_get gives the path of the assembled file. A complete program:
//!
//!     #include <chunked_upload.h>
//!     #include <stdio.h>
//!
//!     int main(void)
//!     {
//!         upload_store *store = NULL;
//!         upload_finished *file = NULL;
//!         upload_error *error = NULL;
//!         upload_receipt receipt = UPLOAD_RECEIPT_INIT;
//!         upload_chunk chunk = UPLOAD_CHUNK_INIT;
//!         upload_result result = upload_store_open("uploads", NULL, &store, &error);
//!
//!         chunk.upload_uid = receipt.upload_uid; // empty at first: that starts an upload
//!         chunk.file_name = "hello.txt";
//!         chunk.total_size = 10;
//!         chunk.chunk_count = 2;
//!         chunk.content_size = 5;
//!         for (; result == UPLOAD_OK && chunk.chunk_number < 2; chunk.chunk_number++) {
//!             chunk.content = chunk.chunk_number == 0 ? "hello" : "world";
//!             result = upload_handle_chunk(store, &chunk, &receipt, &error);
//!         }
//!         if (result == UPLOAD_OK)
//!             result = upload_get(store, receipt.upload_uid, &file, &error);
//!         puts(result == UPLOAD_OK ? upload_finished_path(file) : upload_error_message(error));
//!         upload_finished_free(file);
//!         upload_error_free(error);
//!         upload_store_free(store);
//!         return result == UPLOAD_OK ? 0 : 1;
//!     }
//!
//! Results. A function that can fail returns an upload_result: UPLOAD_OK, which is 0, or the kind of failure.
//! Treat an unknown value as a failure: later versions may add results. The last parameter, upload_error
//! **error, may be NULL. On failure it receives an object with the facts. On UPLOAD_OK it is set to NULL. Free
//! the object before you pass the same variable again.
//!
//! Ownership. The caller owns each object that a ** parameter returns. The caller frees it with the matching
//! _free function, which accepts NULL. Handles may be freed in any order. A call sets each of its **
//! parameters, to NULL if it returns no object. It neither reads nor frees the previous value. A const char *
//! that a function returns is owned by the handle it came from, and is valid until that handle is freed. Never
//! pass a pointer from this library to free(). The library keeps no pointer to the caller's data: it reads
//! strings, content and options only during the call.
//!
//! Arguments. Strings end with NUL. Uids and file names are UTF-8; paths are bytes. A NULL that is not
//! expressly allowed is UPLOAD_INVALID_ARGUMENT, and so is a number out of range. A pointer that is not NULL
//! must point to an object of the declared type.
//!
//! Threads. An upload_store, upload_finished, upload_inspection, upload_verification, upload_listed and
//! upload_error never change: any number of threads may use one at once. Only one thread at a time may use
//! upload_options or an upload_list. The thread that frees a handle must be its last user. The library starts
//! no threads, keeps no state outside the handles and does nothing when it is loaded.
//!
//! Processes. Any process that opened the same directory may receive any chunk of any upload in it. All state
//! lies on disk. The kernel holds the locks and releases them when a process dies. A handle made before a fork
//! works in the child. An upload_list is the exception: parent and child would share its position in the
//! directory. All descriptors are closed on exec.
//!
//! Fork during a call. If one thread forks while another thread is inside a call, the child shares the lock of
//! that call. The lock is released when the call returns. If the parent is killed before that, the child keeps
//! the lock until it execs or exits. Calls that need the lock wait that long; in the child they wait for ever.
//! The lock of a chunk delays calls for that chunk, and upload_get, upload_move_to, upload_verify and
//! upload_remove of its upload. The lock of the store delays all first chunks if the store has a max_store_size
//! or max_uploads. It also delays the removal and moving of uploads that were counted for these limits, and the
//! first upload_key of a store. All other calls continue. The library cannot prevent this: fork copies each
//! descriptor with its locks. After a parent was killed, end such children or let them exec.
//!
//! Signals and limits. Signal handlers may run during a call. An interrupted system call is resumed and never
//! causes an error. pthread_cancel waits until the call returns. Do not longjmp out of a handler during a call.
//! If the process has a limit on the size of files, ignore SIGXFSZ: the call then fails with UPLOAD_IO and
//! EFBIG. When memory runs out, the process is aborted.
//!
//! Recovery. After an interruption, upload_inspect tells in one call which chunks are missing. A client may
//! lose the answer to its first chunk. Such a client makes an upload_key and sends it with every chunk; its
//! chunks then need no uid. upload_store_for_owner gives every user a separate view of the store.
//!
//! Time. Every call blocks and cannot be interrupted. A program with an event loop makes the calls in a thread.
//! The time of upload_handle_chunk is proportional to the bytes of its chunk. It does not depend on the size of
//! the file or the number of chunks. The time of upload_get is proportional to the number of chunks: it renames
//! the file and does not copy it. In two cases the first upload_get takes time in proportion to the bytes:
//! - After a reboot or a remount it reads all data that was not known to be on disk. It compares the data with
//!   its checksums.
//! - It copies chunks that could not be written to their final place when they arrived. To avoid this, make all
//!   chunks the same size except the last.
//! This work is recorded as it proceeds: if a call is killed, the next call continues it. No call needs memory
//! in proportion to the file.
//!
//! Files. Each upload is one directory in the directory of the store. Its name is the prefix and the uid.
//! Opening a store creates nothing. The first chunk creates the directory of the store if only its last
//! component is missing. The finished file belongs to the caller: read it, rename it elsewhere or remove it.
//! The upload is UPLOAD_GONE after that. upload_move_to is the best way to put the file in its place: it moves
//! the whole file once, and may be repeated. Do not write to the file inside the store: later calls cannot
//! distinguish a change from damage. upload_remove deletes an upload. Nothing expires by itself: call
//! upload_cleanup regularly, or remove the directories yourself. The modification time of a directory is the
//! time of the last accepted chunk or upload_get, to a second.
//!
//! Network file systems (NFS, SMB, 9p and similar) and FUSE are refused with UPLOAD_IO when the store is
//! opened: they cannot keep these promises. For a path that does not exist, the file system of its nearest
//! existing parent counts. The first chunk shows whether the process may create uploads there. On a file system
//! that became read-only these calls still work: upload_get and upload_verify of a finished file,
//! upload_inspect, upload_list_open and upload_list_next. Other calls fail with UPLOAD_IO and EROFS. After a
//! reboot or a remount upload_get also fails so, if the file was not known to be on disk before.
//!
//! One upload takes as much disk space as the file has bytes, and 32 bytes for each chunk. Chunks that are sent
//! again with other bytes, or that have uneven sizes, can raise this to twice the file. Chunks of wrong sizes
//! can raise it to three times the file, but never further.
//!
//! Secrets. The uid protects an upload. A client that knows the uid may add to the upload and learn where its
//! file is. If the upload has an owner, the client must have the same owner. A uid cannot be guessed, unless it
//! was made from an upload_key that can be guessed. Messages show only its first eight digits.
//! upload_error_path and upload_finished_path may contain the whole uid, so log them with care.
//!
//! Versions. The ABI epoch is the number in the library's soname. Within an epoch no declaration is removed or
//! changed: programs compiled with an older header keep working with a newer library. A later version may add
//! functions and results. It may also add members at the end of structs with a struct_size.

#![allow(non_camel_case_types)] // the names are C's
#![allow(clippy::missing_safety_doc)] // the contract of each function is written for C, above and in its comment
#![allow(clippy::doc_lazy_continuation, clippy::tabs_in_doc_comments)]

mod args;
mod boundary;
mod failure;
mod guard;
mod handle;
mod versioned;

// What C sees is public for tests in Rust, and in the order in which a reader of the header wants it.

pub mod result;

pub mod options;

pub mod store;

pub mod chunk;

pub mod finished;

pub mod key;

pub mod inspection;

pub mod verification;

pub mod expiry;

pub mod list;

pub mod error;

pub mod version;
