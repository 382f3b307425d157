"""Manage chunked uploads.

In your action, declare an endpoint that passes each chunk on::

    import gws.plugin.upload_helper as uh

    @gws.ext.command.api('myUpload')
    def do_upload(self, req, p: uh.ChunkRequest) -> uh.ChunkResponse:
        # check permissions first
        return self.root.app.helper('upload').handle_chunk_request(req, p)

The client sends a file in chunks that are numbered from 0, in any order, several at once if it likes, and each as often
as need be. The first one has an empty ``uploadUid``; the answer says which uid the others carry.

When the client says that it is done, another endpoint asks for the file::

    @gws.ext.command.api('myProcessUploadedFile')
    def do_process(self, req, p: MyProcessRequest):
        try:
            upload = self.root.app.helper('upload').get_upload(p.uploadUid)
        except uh.Error:
            ...  # not there yet, or never will be: the message says which
        os.rename(upload.path, '...')

``get_upload`` may be asked again, by several processes at once; each gets the same path. The file is the caller's: read
it, move it away, remove it. Then the upload is gone for ever.

This is a replacement of the helper of the same name that comes with GWS, built on the package ``chunked_upload``, which
must be installed. It is stricter on purpose; these requests are refused, with 400, where the other one said 200:

- a chunk that declares another ``totalSize`` or ``chunkCount`` than the first,
- other bytes for a chunk, once the file was asked for and complete,
- a chunk of an upload whose file was taken away.
"""

from typing import Optional

import gws

gws.ext.new.helper('upload')


class Config(gws.Config):
    """Upload helper. (added in 8.5)"""

    maxSize: Optional[int]
    """Largest file, in bytes. Default: no limit. (added in 8.5)"""
    maxChunks: int = 1000000
    """Largest number of chunks of a file. (added in 8.5)"""
    maxStoreSize: Optional[int]
    """What all uploads together may declare, in bytes. Default: no limit. (added in 8.5)"""
    minFreeSpace: int = 16777216
    """What must stay free on the disk beside a new upload, in bytes. (added in 8.5)"""
    maxAge: gws.Duration = '24h'
    """Uploads that nobody has used for longer are removed. (added in 8.5)"""
    durability: str = 'process'
    """What uploads survive: "process", "complete" or "chunk". (added in 8.5)"""
    bindToUser: bool = False
    """Whether an upload belongs to the user who began it. (added in 8.5)"""


class ChunkRequest(gws.Request):
    uploadUid: str = ''
    fileName: str
    totalSize: int
    chunkNumber: int
    chunkCount: int
    content: bytes
    checksum: str = ''
    """Of the content, as in the header field Content-Digest (RFC 9530): "sha-256=:...:" or "crc32c=:...:"."""


class ChunkResponse(gws.Response):
    uploadUid: str


class Upload(gws.Data):
    uploadUid: str
    fileName: str
    totalSize: int
    path: str


class Error(gws.Error):
    pass


# Before the uids in EPHEMERAL_DIR, where other things of GWS lie, too, and where GWS removes what was idle for long.
_PREFIX = 'upload_'

# How often a process looks for uploads that are over age, in seconds, and how many it removes at once.
_CLEANUP_INTERVAL = 60
_CLEANUP_LIMIT = 100

# What is wrong, where the other helper has words for it; the others are said by their name.
_WORDS = {'incomplete': 'incomplete', 'size_mismatch': 'invalid file size', 'io': 'IO error'}

# Failures of the server, not of the request: only these are worth a traceback.
_SERIOUS = ('io', 'internal')


class Object(gws.Node):
    _options: dict
    _maxAge: int
    _bindToUser: bool
    _cleanedUp: int = 0

    def configure(self):
        self._maxAge = int(self.cfg('maxAge', default=86400))
        self._bindToUser = bool(self.cfg('bindToUser', default=False))
        self._options = {
            'max_total_size': self.cfg('maxSize', default=0) or 0,
            'max_chunk_count': self.cfg('maxChunks', default=1000000),
            'max_store_size': self.cfg('maxStoreSize', default=0) or 0,
            'min_free_space': self.cfg('minFreeSpace', default=16777216),
            'durability': self.cfg('durability', default='process'),
        }
        # A wrong value is to be seen now, not with the first upload. Opening a store creates nothing.
        cu = _engine()
        try:
            self._store(cu)
        except cu.Error as exc:
            raise gws.ConfigurationError(f'upload helper: {exc}') from exc

    def handle_chunk_request(self, req: gws.WebRequester, p: ChunkRequest) -> ChunkResponse:
        try:
            return ChunkResponse(uploadUid=self._receive(req, p))
        except Error as exc:
            raise gws.BadRequestError('upload_error') from exc

    def get_upload(self, uid: str, req: Optional[gws.WebRequester] = None) -> Upload:
        """Answers the finished file.

        Args:
            uid: What the chunks were answered with.
            req: Who asks. If uploads are bound to users, only their own are found; without it any is.

        Raises:
            ``Error`` if the upload is not there, not complete, or cannot be completed. May be asked again.
        """
        cu = _engine()
        try:
            upload = self._store(cu, req, everything=req is None).get(uid)
        except cu.Error as exc:
            raise _error(uid, exc) from exc
        return Upload(uploadUid=upload.uid, fileName=upload.file_name, totalSize=upload.total_size, path=upload.path)

    ##

    def _receive(self, req, p) -> str:
        cu = _engine()
        uid = p.uploadUid or ''
        content = p.content.encode('utf8') if isinstance(p.content, str) else p.content
        try:
            if not uid:
                self._before_an_upload(cu)
            receipt = self._store(cu, req).handle_chunk(
                content,
                upload_uid=uid,
                file_name=p.fileName,
                total_size=p.totalSize,
                chunk_number=p.chunkNumber,
                chunk_count=p.chunkCount,
                checksum=p.checksum,
            )
            return receipt.upload_uid
        except cu.Error as exc:
            error = _error(uid, exc)
            if exc.name in _SERIOUS:
                gws.log.exception()
            else:
                gws.log.warning(f'upload_error: {exc.name}: {error}')
            raise error from exc
        except TypeError as exc:
            # Over HTTP the types have been checked.
            raise Error(f'upload: {_shown(uid)} {exc}') from exc

    def _store(self, cu, req=None, everything=False):
        """The store, as whoever asks may see it. It is a path and options, so making it anew costs little."""
        owner = None
        if self._bindToUser and req and req.user:
            owner = str(req.user.uid).encode('utf8')
        return cu.Store(
            gws.c.EPHEMERAL_DIR,
            prefix=_PREFIX,
            # All processes of GWS run as one user; what else runs on the machine may look, as with GWS's own files.
            dir_mode=0o755,
            file_mode=0o644,
            owner=owner,
            all_owners=everything and not owner,
            **self._options,
        )

    def _before_an_upload(self, cu):
        try:
            gws.u.ensure_dir(gws.c.EPHEMERAL_DIR)
        except FileExistsError:
            pass  # another process was faster
        now = gws.u.stime()
        if now - self._cleanedUp >= _CLEANUP_INTERVAL:
            self._cleanedUp = now
            try:
                self._store(cu, everything=True).cleanup(self._maxAge, limit=_CLEANUP_LIMIT)
            except cu.Error:
                # What cannot be tidied up is no reason to refuse an upload.
                gws.log.exception()


def _engine():
    """The package that does the work. Not imported with this module: actions import that, and one that fails to leaves
    a server half configured."""
    try:
        import chunked_upload
    except ImportError as exc:
        text = f'upload helper: the package "chunked_upload" is missing or broken: {exc}'
        raise gws.ConfigurationError(text) from exc
    return chunked_upload


def _error(uid, exc) -> Error:
    what = _WORDS.get(exc.name, '')
    if exc.name == 'not_found':
        what = 'not found' if isinstance(uid, str) and uid.isalnum() else 'invalid'
        return Error(f'upload: {_shown(uid)} {what}')
    return Error(f'upload: {_shown(uid)} {what or exc.name}: {exc}')


def _shown(uid) -> str:
    """A uid is a secret, and what came in its place may be long."""
    return repr(uid if len(uid) <= 8 else uid[:8] + '...') if isinstance(uid, str) else repr(type(uid))
