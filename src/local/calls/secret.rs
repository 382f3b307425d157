//! The secret of a store, from which the uids of upload keys are derived.

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

/// The uid of this owner's upload with this key. Makes the store's secret if necessary.
pub(crate) fn uid_for_key(home: &Home, key: &[u8]) -> Result<Uid> {
    keys::validate_key(home.owner(), key)?;
    Ok(keys::uid_for_key(&secret(home)?, home.owner(), key))
}

/// The uid of this owner's upload with this key; `None` if the store has no secret yet, and so no upload with a key.
pub(crate) fn known_uid_for_key(home: &Home, root: Root, key: &[u8]) -> Result<Option<Uid>> {
    let secret = read_secret(root, &secret_path(home))?;
    Ok(secret.map(|secret| keys::uid_for_key(&secret, home.owner(), key)))
}

/// The store's own secret. It is made when it is first needed.
///
/// It lies in the store's directory. A cleaner outside this library may remove it if it was not used for long. Then a
/// new secret is made, and keys lead to new uploads. Each use updates its time, so that the cleaner keeps it.
fn secret(home: &Home) -> Result<[u8; SECRET_SIZE]> {
    let path = secret_path(home);
    if let Some(root) = home.examine_root_and_owner()?
        && let Some(secret) = read_secret(root, &path)?
    {
        return Ok(secret);
    }
    let root = home.examine_or_make_root()?;
    // The call that gets the lock reads again: another call may have made the secret meanwhile.
    let directory = Directory::open(home.root().to_owned())?
        .ok_or_else(|| Error::os("cannot open", home.root(), errno(libc::ENOENT)))?;
    let _exclusive = directory.lock_exclusively()?;
    if let Some(secret) = read_secret(root, &path)? {
        return Ok(secret);
    }
    let secret: [u8; SECRET_SIZE] = sys::random().map_err(|error| Error::os("cannot read", "/dev/urandom", error))?;
    let write = |new: &Path| -> io::Result<()> {
        // A killed call may have left this file. It may stay if it belongs to another user.
        let _ = std::fs::remove_file(new);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.set_permissions(Permissions::from_mode(home.options().state_mode()))?;
        file.write_all_at(&secret, 0)?;
        // The keys that clients hold depend on the secret, so it is synced at every level.
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

/// `None` if there is no secret, or the file is not whole.
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
