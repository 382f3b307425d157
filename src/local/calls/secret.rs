//! The secret of a store, with which upload keys become uids.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::api::error::{Error, Result, errno};
use crate::api::uid::Uid;
use crate::local::files::directory::{Directory, touch};
use crate::local::files::root::{Root, sync_parents};
use crate::local::files::sys;
use crate::local::home::{Home, random_uid};
use crate::rules::keys;
use crate::rules::keys::SECRET_SIZE;

/// The uid of the upload with this key, of this handle's owner. Makes the store's secret if need be.
pub(crate) fn uid_for_key(home: &Home, key: &[u8]) -> Result<Uid> {
    keys::validate_key(home.owner(), key)?;
    Ok(keys::uid_for_key(&secret(home)?, home.owner(), key))
}

/// The same, unless the store has no secret yet: then there is no upload with a key in it either.
pub(crate) fn known_uid_for_key(home: &Home, root: Root, key: &[u8]) -> Result<Option<Uid>> {
    let secret = read_secret(root, &secret_path(home))?;
    Ok(secret.map(|secret| keys::uid_for_key(&secret, home.owner(), key)))
}

/// The store's own secret, made when it is first needed.
///
/// It lies beside the uploads. An outside cleaner may remove it when it was not used for long; then it is made again,
/// and keys lead to other uploads from there on. Using it keeps it.
fn secret(home: &Home) -> Result<[u8; SECRET_SIZE]> {
    let path = secret_path(home);
    if let Some(root) = home.examine_root_and_owner()?
        && let Some(secret) = read_secret(root, &path)?
    {
        return Ok(secret);
    }
    let root = home.examine_or_make_root()?;
    // Who makes it excludes the others, and looks again: the first one's stands.
    let directory = Directory::open(home.root().to_owned())?
        .ok_or_else(|| Error::os("cannot open", home.root(), errno(libc::ENOENT)))?;
    let _exclusive = directory.lock_exclusively()?;
    if let Some(secret) = read_secret(root, &path)? {
        return Ok(secret);
    }
    let secret: [u8; SECRET_SIZE] = sys::random().map_err(|error| Error::os("cannot read", "/dev/urandom", error))?;
    let write = |new: &Path| -> io::Result<()> {
        // A call that was killed here left this file. A file of another user may have to stay.
        let _ = std::fs::remove_file(new);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.set_permissions(Permissions::from_mode(home.options().state_mode()))?;
        file.write_all_at(&secret, 0)?;
        // Keys that clients hold lead to uploads through it, so it is synced at every level.
        file.sync_all()?;
        std::fs::rename(new, &path)
    };
    let new = |part: &str| path.with_file_name(format!("{}secret{part}.new", home.options().prefix));
    let written = match write(&new("")) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => write(&new(&format!(".{}", random_uid()?))),
        result => result,
    };
    written.map_err(|error| Error::os("cannot make", &path, error))?;
    sync_parents(home.root())?;
    Ok(secret)
}

fn secret_path(home: &Home) -> PathBuf {
    home.root().join(format!("{}secret", home.options().prefix))
}

/// `None` if there is none, or what is there is not whole.
fn read_secret(root: Root, path: &Path) -> Result<Option<[u8; SECRET_SIZE]>> {
    let Some((file, status)) = root.open_record(path, OpenOptions::new().read(true))? else { return Ok(None) };
    if status.size != SECRET_SIZE as u64 {
        return Ok(None);
    }
    let mut secret = [0; SECRET_SIZE];
    file.read_exact_at(&mut secret, 0).map_err(|error| Error::os("cannot read", path, error))?;
    touch(&file);
    Ok(Some(secret).filter(|secret| *secret != [0; SECRET_SIZE]))
}
