"""Manage chunked uploads.

In your action, declare an endpoint that passes each chunk on::

    import gws.plugin.upload_helper as uh

    @gws.ext.command.api('myUpload')
    def do_upload(self, req, p: uh.ChunkRequest) -> uh.ChunkResponse:
        # check permissions first
        return self.root.app.helper('upload').handle_chunk_request(req, p)

The client sends a file in chunks that are numbered from 0. It may send them in any order, several at once, and repeat
them. The first chunk has an empty ``uploadUid``; the answer has the uid for the other chunks.

When the client has sent all chunks, another endpoint asks for the file::

    @gws.ext.command.api('myProcessUploadedFile')
    def do_process(self, req, p: MyProcessRequest):
        try:
            upload = self.root.app.helper('upload').get_upload(p.uploadUid)
        except uh.Error:
            ...  # not complete, or not found: the message says which
        os.rename(upload.path, '...')

``get_upload`` can be called again, also by several processes at once; each gets the same path. The file belongs to the
caller: read it, move it, or remove it. After it was moved or removed, the upload is gone.

This helper replaces the helper of the same name that comes with GWS. It needs the package ``chunked_upload``. It
refuses these requests with 400, where the original helper answers 200:

- a chunk that declares another ``totalSize`` or ``chunkCount`` than the first,
- other bytes for a chunk, after ``get_upload`` has returned the file,
- a chunk of an upload whose file was taken away.

A helper that is configured wrongly, or that cannot work, refuses every request. The log has the reason.
"""

import contextlib
import os
import re
import shutil
from typing import Optional

import gws

gws.ext.new.helper('upload')


class Config(gws.Config):
    """Upload helper. (added in 8.5)"""

    maxSize: Optional[int]
    """Largest file, in bytes. Default or 0: no limit. (added in 8.5)"""
    maxChunks: int = 1000000
    """Largest number of chunks of a file. 0: no limit. (added in 8.5)"""
    maxStoreSize: Optional[int]
    """Most disk space that all uploads together may take, in bytes. Default or 0: no limit. (added in 8.5)"""
    minFreeSpace: int = 16777216
    """Disk space that a new upload must leave free, in bytes. (added in 8.5)"""
    maxAge: gws.Duration = '24h'
    """An upload is removed after this time without a chunk or a get_upload. 0: never. A complete file stays ten minutes
    longer. (added in 8.5)"""
    durability: str = 'process'
    """What uploads survive: "process", "complete" or "chunk". (added in 8.5)"""
    bindToUser: bool = False
    """An upload belongs to the user who began it. An action that calls get_upload without its request still finds
    the uploads of all users, unless bindStrict is set. (added in 8.5)"""
    bindGuests: bool = True
    """With bindToUser: guests may upload. All guests are the same user. (added in 8.5)"""
    bindStrict: bool = False
    """With bindToUser: get_upload without a request finds only uploads that belong to no user. (added in 8.5)"""


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


# The names of uploads in EPHEMERAL_DIR begin with this. GWS has other files there, and removes what was idle for long.
_PREFIX = 'upload_'

# Values that the configuration leaves out. A configured value must have the type of the default.
_DEFAULTS = {
    'maxSize': 0,
    'maxChunks': 1000000,
    'maxStoreSize': 0,
    'minFreeSpace': 16777216,
    'maxAge': 86400,
    'durability': 'process',
    'bindToUser': False,
    'bindGuests': True,
    'bindStrict': False,
}

# How often a process looks for uploads that are over age, in seconds, and how many it removes at once.
_CLEANUP_INTERVAL = 60
_MAX_REMOVALS = 100

# How much longer a complete file stays, in seconds, because an action may still work on it. GWS keeps its own temporary
# files this long.
_GRACE = 600

# How often a process logs why the helper cannot work, in seconds.
_COMPLAINT_INTERVAL = 60

# An upload's directory.
_NAME = re.compile(_PREFIX + '[0-9a-f]{32}')

# The words of the original helper. Other errors are shown by their name.
_WORDS = {'incomplete': 'incomplete', 'size_mismatch': 'invalid file size', 'io': 'IO error'}

# Failures of the server, not of the request: only these are worth a traceback.
_SERIOUS = ('io', 'internal')


class Object(gws.Node):
    # GWS pickles its helpers, and does not configure a helper again when it unpickles it. An older version of this file
    # or the stock helper may have been pickled. So the class has a value for each attribute, and `config` is read with
    # each request.
    _cleanedUp: int = 0
    _complainedAt: int = 0

    def post_configure(self):
        # GWS reports a failure here as an error in the configuration, and keeps the helper, which refuses all requests.
        # After a failure in configure(), GWS would drop the helper and later make one without its configuration.
        self._store(self._settings())

    def handle_chunk_request(self, req: gws.WebRequester, p: ChunkRequest) -> ChunkResponse:
        try:
            return ChunkResponse(uploadUid=self._receive(req, p))
        except gws.ConfigurationError as exc:
            raise gws.BadRequestError('upload_error') from self._complaint(exc)
        except Error as exc:
            raise gws.BadRequestError('upload_error') from exc

    def get_upload(self, uid: str, req: Optional[gws.WebRequester] = None) -> Upload:
        """Returns the finished file.

        Args:
            uid: The uid in the answers to the chunks.
            req: The request of the user. With ``bindToUser`` only uploads of this user are found. Without a request the
                uploads of all users are found, or with ``bindStrict`` only those that belong to no user.

        Raises:
            ``Error`` if the upload is not there, not complete, or cannot be completed. Can be called again.
        """
        try:
            cu = _engine()
            settings = self._settings()
            store = self._store_of(req, settings, all_owners=req is None and not settings['bindStrict'])
        except gws.ConfigurationError as exc:
            raise self._complaint(exc) from exc
        try:
            upload = store.get(uid)
        except cu.Error as exc:
            raise _error(uid, exc) from exc
        _give_to_workers(upload.uid)
        return Upload(uploadUid=upload.uid, fileName=upload.file_name, totalSize=upload.total_size, path=upload.path)

    ##

    def _receive(self, req, p) -> str:
        cu = _engine()
        settings = self._settings()
        store = self._store_of(req, settings)
        uid = p.uploadUid or ''
        try:
            if not uid:
                self._before_an_upload(settings)
            receipt = store.handle_chunk(
                p.content.encode('utf8') if isinstance(p.content, str) else p.content,
                upload_uid=uid,
                file_name=p.fileName,
                total_size=p.totalSize,
                chunk_number=p.chunkNumber,
                chunk_count=p.chunkCount,
                # Requests of actions that were written for the stock helper have no checksum.
                checksum=getattr(p, 'checksum', None),
            )
        except cu.Error as exc:
            error = _error(uid, exc)
            if exc.name in _SERIOUS:
                gws.log.exception()
            else:
                gws.log.warning(f'upload_error: {exc.name}: {error}')
            raise error from exc
        except (TypeError, UnicodeEncodeError) as exc:
            # Over HTTP the types have been checked.
            raise Error(f'upload: {_shown(uid)} {exc}') from exc
        _give_to_workers(receipt.upload_uid)
        return receipt.upload_uid

    def _settings(self) -> dict:
        """The configuration. Raises ``gws.ConfigurationError`` if it is wrong."""
        entries = [entry for entry in self.root.app.cfg('helpers') or [] if entry.get('type') == 'upload']
        if len(entries) > 1:
            raise gws.ConfigurationError('upload helper: there are several in the configuration')
        # If GWS dropped the configured helper, this one was made without its configuration.
        config = entries[0] if entries else self.config
        settings = dict(_DEFAULTS)
        for name, default in _DEFAULTS.items():
            value = config.get(name)
            if value is None:
                continue
            if type(value) is not type(default):
                raise gws.ConfigurationError(f'upload helper: {name} has a wrong type: {value!r}')
            if type(value) is int and not 0 <= value < 2**63:
                raise gws.ConfigurationError(f'upload helper: {name} is negative or too large: {value}')
            settings[name] = value
        if not settings['bindToUser'] and (settings['bindStrict'] or not settings['bindGuests']):
            raise gws.ConfigurationError('upload helper: bindGuests and bindStrict need bindToUser')
        return settings

    def _store(self, settings, all_owners=False):
        """The store. It is a path and options, so making it costs little, and creates nothing. Raises
        ``gws.ConfigurationError`` if the package is missing, or if no store can be there."""
        cu = _engine()
        try:
            return cu.Store(
                gws.c.EPHEMERAL_DIR,
                prefix=_PREFIX,
                # All processes of GWS run as one user. Others on the machine may read, as with GWS's own files.
                dir_mode=0o755,
                file_mode=0o644,
                all_owners=all_owners,
                max_total_size=settings['maxSize'],
                max_chunk_count=settings['maxChunks'],
                max_store_size=settings['maxStoreSize'],
                min_free_space=settings['minFreeSpace'],
                durability=settings['durability'],
            )
        except (cu.Error, TypeError) as exc:  # TypeError: the package is of an older version.
            raise gws.ConfigurationError(f'upload helper: {exc}') from exc

    def _store_of(self, req, settings, all_owners=False):
        """The store as the user of a request may see it."""
        store = self._store(settings, all_owners)
        if req is None or not settings['bindToUser']:
            return store
        if not settings['bindGuests'] and (not req.user or req.user.isGuest):
            gws.log.warning('upload_error: guests are refused')
            raise Error('upload: guests are refused')
        if not req.user:
            return store
        try:
            return store.for_owner(str(req.user.uid).encode('utf8'))
        except (_engine().Error, UnicodeEncodeError) as exc:
            raise Error(f'upload: the uid of the user cannot be used: {exc}') from exc

    def _complaint(self, exc) -> Error:
        """Logs why all requests are refused. Not each time: there may be many requests."""
        now = gws.u.stime()
        if not 0 <= now - self._complainedAt < _COMPLAINT_INTERVAL:
            self._complainedAt = now
            gws.log.error(f'{exc.args[0]}. All uploads are refused.')
        return Error(exc.args[0])

    def _before_an_upload(self, settings):
        try:
            with contextlib.suppress(FileExistsError):  # another process was faster
                gws.u.ensure_dir(gws.c.EPHEMERAL_DIR)
        except OSError as exc:
            gws.log.warning(f'upload_error: io: {exc}')
            raise Error(f'upload: IO error: {exc}') from exc
        now = gws.u.stime()
        # A time in the future means that the clock was set back.
        if settings['maxAge'] and not 0 <= now - self._cleanedUp < _CLEANUP_INTERVAL:
            self._cleanedUp = now
            try:
                self._clean_up(settings, now - settings['maxAge'])
            except (_engine().Error, OSError):
                # What cannot be cleaned up is no reason to refuse an upload.
                gws.log.exception()

    def _clean_up(self, settings, before):
        with os.scandir(gws.c.EPHEMERAL_DIR) as entries:
            idle = [entry.path for entry in entries if _NAME.fullmatch(entry.name) and _modified(entry) < before]
        age = settings['maxAge']
        finished = age + _GRACE
        store = self._store(settings, all_owners=True)
        store.cleanup(age, finished=finished, gone=finished, max_removals=_MAX_REMOVALS)
        for path in idle:
            # The engine does not remove files that an action put into the upload's directory.
            if not os.path.lexists(f'{path}/state'):
                shutil.rmtree(path, ignore_errors=True)


def _engine():
    """The package that does the work. Not imported with this module: actions import this module, and a
    failing import would leave a server half configured."""
    try:
        import chunked_upload
    except ImportError as exc:
        text = f'upload helper: the package "chunked_upload" is missing or broken: {exc}'
        raise gws.ConfigurationError(text) from exc
    return chunked_upload


def _modified(entry) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return float('inf')  # another process was faster


def _give_to_workers(uid):
    """Gives an upload that root works on to the user of the workers, as ``gws.u.ensure_dir`` does with directories."""
    if os.geteuid() != 0:
        return
    owner = (gws.c.UID, gws.c.GID)
    with contextlib.suppress(OSError):
        os.chown(f'{gws.c.EPHEMERAL_DIR}/{_PREFIX}promised', *owner, follow_symlinks=False)
    with contextlib.suppress(OSError):
        directory = os.open(f'{gws.c.EPHEMERAL_DIR}/{_PREFIX}{uid}', os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for name in os.listdir(directory):
                os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
            os.fchown(directory, *owner)
        finally:
            os.close(directory)


def _error(uid, exc) -> Error:
    what = _WORDS.get(exc.name, '')
    if exc.name == 'not_found':
        what = 'not found' if isinstance(uid, str) and uid.isalnum() else 'invalid'
        return Error(f'upload: {_shown(uid)} {what}')
    return Error(f'upload: {_shown(uid)} {what or exc.name}: {exc}')


def _shown(uid) -> str:
    """The beginning of a uid. A uid is a secret, and a wrong one may be long."""
    return repr(uid if len(uid) <= 8 else uid[:8] + '...') if isinstance(uid, str) else repr(type(uid))
