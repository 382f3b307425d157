//! chunked-upload receives a file in numbered chunks, in any order, from any process, and hands back
//! the assembled file.
//!
//! A client cuts a file into chunks and sends each with the size of the file and the number of
//! chunks. The server passes every chunk to upload_handle_chunk and sends the uid in the receipt back
//! to the client, which puts it into all further chunks. When the client says that it is done, or
//! when a receipt says so, upload_get gives the path of the assembled file. A complete program:
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
//! Results. A function that can fail returns an upload_result: UPLOAD_OK, which is 0, or what went
//! wrong. Take a value that you do not know for a failure: later versions may add some. Through the
//! last parameter, upload_error **error, which may be NULL, a failure also gives an object with the
//! facts; UPLOAD_OK sets it to NULL. Free it before the same variable is passed again.
//!
//! Ownership. What comes out through a ** parameter belongs to the caller, who hands it to the _free
//! function of its type; that accepts NULL, and handles may be freed in any order. Every ** parameter
//! is set on every return, to NULL when there is nothing to give; what it held before is neither
//! looked at nor freed. A const char * that a function returns belongs to the handle it was asked of
//! and is valid until that is freed. Nothing is ever to be given to free(). Of what the caller passes
//! in, the library keeps nothing: strings, content and options are read during the call only.
//!
//! Arguments. Strings end with NUL. Uids and file names are UTF-8, paths are bytes. A NULL that is not
//! expressly allowed, and a number out of its range, is UPLOAD_INVALID_ARGUMENT, never a crash; but a
//! pointer that is not NULL has to point to what the declaration says.
//!
//! Threads. An upload_store, upload_finished and upload_error never change: any number of threads may use
//! one at once. upload_options are for one thread at a time. The thread that frees a handle must be its
//! last user. The library starts no threads, keeps no state outside the handles and does nothing when it
//! is loaded.
//!
//! Processes. Any process that opened the same directory may receive any chunk of any upload in it; all
//! of it lies on disk, and locks are the kernel's, which releases them when a process dies. A handle
//! made before a fork works in the child, but for an upload_list: parent and child would share its place in
//! the directory. All descriptors are closed on exec.
//!
//! Fork during a call. A child that is forked by one thread while another is inside a call shares the
//! lock of that call. The lock is released when the call returns. If the parent is killed before that, the
//! child keeps the lock until it execs or exits. Calls that need the lock wait that long; in the child
//! they wait for ever. The lock of a chunk holds up that chunk, and upload_get, upload_move_to,
//! upload_verify and upload_remove of its upload. The lock of the store holds up all first chunks if the
//! store has a max_store_size or max_uploads, the removal and moving of uploads that were counted for
//! these, and the first upload_key of a store. All other calls go on. The library cannot prevent this:
//! fork copies each descriptor with its locks. After a parent was killed, end such children or let them
//! exec.
//!
//! Signals and limits. Handlers may run during a call; a system call that was interrupted is resumed and
//! never shows as an error. pthread_cancel waits until the call returns. Do not longjmp out of a handler
//! during a call. Where a limit on the size of files may apply, ignore SIGXFSZ: then it is UPLOAD_IO with
//! EFBIG. When memory runs out, the process is aborted.
//!
//! After a break, upload_inspect tells in one call what is missing. A client that may lose the answer to
//! its first chunk makes an upload_key and sends it with each: then chunks need no uid. With
//! upload_store_for_owner every user has a store of their own.
//!
//! Time. Every call blocks and cannot be interrupted; a program with an event loop calls from a thread.
//! upload_handle_chunk takes time in proportion to the bytes of its chunk, whatever the size of the file
//! and the number of chunks. upload_get takes time in proportion to the number of chunks: the file is put
//! in place by renaming, not by copying. It takes time in proportion to the bytes, the first time, in two
//! cases: after a reboot or a remount, when what was not known to be on disk is read and compared with its
//! checksum; and for chunks that could not be written to their final place when they arrived (all but the
//! last should be of one size). Such work is recorded as it goes: when a call is killed half-way, the next
//! continues. No call needs memory in proportion to the file.
//!
//! Files. Each upload is one directory, named after its uid, in the directory of the store. Opening a
//! store creates nothing; the first chunk creates the directory if only its last component is missing.
//! The finished file is the caller's: read it, rename it elsewhere or remove it; the upload then answers
//! UPLOAD_GONE. Best upload_move_to puts it at its place: once, whole, and as often as it has to be repeated.
//! Do not write to the file where it lies: later calls could not tell that from damage. upload_remove
//! forgets an upload. Nothing expires by itself: call upload_cleanup now and then, or remove the directories
//! yourself, whose modification time follows the last accepted chunk or upload_get, to a second.
//!
//! Network file systems (NFS, SMB, 9p and the like, also FUSE) are refused when the store is opened, with
//! UPLOAD_IO: they cannot keep these promises. A path that does not exist is taken to be where its nearest
//! existing parent is; whether uploads can be made there, the first chunk tells. On a file system that
//! became read-only these calls still work: upload_get and upload_verify of a finished file,
//! upload_inspect, upload_list. Other calls fail with UPLOAD_IO and EROFS. So does upload_get after a
//! reboot or a remount, if the file was not known to be on disk before.
//!
//! One upload takes as much disk as the file has bytes, and 32 bytes for each chunk. Chunks sent again
//! with other bytes or in uneven sizes can take it to twice the file. Chunks of wrong sizes can take it to
//! three times the file, but never further.
//!
//! Secrets. A uid is what protects an upload: a client that knows it, and has the same owner if there is
//! one, may add to the upload and learn where its file is. It cannot be guessed, unless it was made from
//! an upload_key that can. Messages show its first eight digits only; upload_error_path and
//! upload_finished_path hold it whole, so log them with care.
//!
//! Versions. Within an ABI epoch, which is the number in the library's soname, nothing declared here is
//! removed or changed: programs compiled with an older header keep working with a newer library.
//! Functions, results and members at the end of structs with a struct_size may be added.

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
