//! Whose an upload is, and the names that clients make for theirs: what HMAC-SHA-256 (RFC 2104) makes of secrets.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::directory::{Directory, Root, sync_parents, touch};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::{MAX_OWNER, MAX_UPLOAD_KEY, MIN_BARE_UPLOAD_KEY, Uid, create, sys};

/// Refuses what is no owner.
pub(crate) fn validate_owner(owner: &[u8]) -> Result<()> {
    if (1..=MAX_OWNER).contains(&owner.len()) {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("an owner of {} bytes, 1 to {MAX_OWNER} are allowed", owner.len())))
}

/// Refuses a key that is too long, or that another client could guess.
pub(crate) fn validate_key(store: &Store, key: &[u8]) -> Result<()> {
    let least = if store.owner().is_some() { 1 } else { MIN_BARE_UPLOAD_KEY };
    if (least..=MAX_UPLOAD_KEY).contains(&key.len()) {
        return Ok(());
    }
    let scope = if store.owner().is_some() { "" } else { " without an owner" };
    let text = format!("upload_key has {} bytes, {least} to {MAX_UPLOAD_KEY} are allowed{scope}", key.len());
    Err(Error::InvalidArgument(text))
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// What is stored of an owner: a digest that is keyed with the uid, which is a secret and different in each upload. So
/// it reveals neither the owner nor which uploads have the same one, and needs nothing else to be kept.
fn digest(uid: Uid, owner: &[u8]) -> Hmac<Sha256> {
    hmac(uid.as_str().as_bytes()).chain_update(b"owner\0").chain_update(owner)
}

/// What to store of the owner to whom this handle is bound.
pub(crate) fn digest_for(store: &Store, uid: Uid) -> Option<[u8; 32]> {
    store.owner().map(|owner| digest(uid, owner).finalize().into_bytes().into())
}

/// Whether an upload with this record of its owner may be seen through this handle.
pub(crate) fn admits(store: &Store, uid: Uid, recorded: Option<&[u8; 32]>) -> bool {
    match (store.owner(), recorded) {
        // In a time that does not depend on where they differ.
        (Some(owner), Some(recorded)) => digest(uid, owner).verify_slice(recorded).is_ok(),
        (None, None) => true,
        _ => store.options().all_owners,
    }
}

/// The uid of the upload with this key, of this owner. Makes the store's secret if need be.
pub(crate) fn uid_for_key(store: &Store, key: &[u8]) -> Result<Uid> {
    validate_key(store, key)?;
    Ok(derive(store, key, secret(store)?))
}

/// The same, unless the store has no secret yet: then there is no upload with a key in it either.
pub(crate) fn known_uid_for_key(store: &Store, root: Root, key: &[u8]) -> Result<Option<Uid>> {
    Ok(read_secret(root, &secret_path(store))?.map(|secret| derive(store, key, secret)))
}

fn derive(store: &Store, key: &[u8], secret: [u8; SECRET_SIZE]) -> Uid {
    let mut hmac = hmac(&secret);
    // The length in front keeps owner and key apart; no owner has the length that stands for none.
    hmac.update(&store.owner().map_or(u64::MAX, |owner| owner.len() as u64).to_le_bytes());
    hmac.update(store.owner().unwrap_or_default());
    hmac.update(key);
    let hash: [u8; 32] = hmac.finalize().into_bytes().into();
    Uid::derived(hash.as_chunks::<16>().0[0])
}

const SECRET_SIZE: usize = 32;

/// The store's own secret, made when it is first needed.
///
/// It lies beside the uploads. An outside cleaner may remove it when it was not used for long; then it is made again,
/// and keys lead to other uploads from there on. Using it keeps it.
fn secret(store: &Store) -> Result<[u8; SECRET_SIZE]> {
    let path = secret_path(store);
    if let Some(root) = store.examine_root_and_owner()?
        && let Some(secret) = read_secret(root, &path)?
    {
        return Ok(secret);
    }
    let root = create::examine_or_make_root(store)?;
    // Who makes it excludes the others, and looks again: the first one's stands.
    let directory = Directory::open(store.root().to_owned())?
        .ok_or_else(|| Error::os("cannot open", store.root(), crate::error::errno(libc::ENOENT)))?;
    let _exclusive = directory.lock_exclusively()?;
    if let Some(secret) = read_secret(root, &path)? {
        return Ok(secret);
    }
    let secret: [u8; SECRET_SIZE] = sys::random().map_err(|error| Error::os("cannot read", "/dev/urandom", error))?;
    let write = |new: &Path| -> io::Result<()> {
        // A call that was killed here left this file. A file of another user may have to stay.
        let _ = std::fs::remove_file(new);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.set_permissions(Permissions::from_mode(store.options().state_mode()))?;
        file.write_all_at(&secret, 0)?;
        // Keys that clients hold lead to uploads through it, so it is synced at every level.
        file.sync_all()?;
        std::fs::rename(new, &path)
    };
    let new = |part: &str| path.with_file_name(format!("{}secret{part}.new", store.options().prefix));
    let written = match write(&new("")) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => write(&new(&format!(".{}", Uid::random()?))),
        result => result,
    };
    written.map_err(|error| Error::os("cannot make", &path, error))?;
    sync_parents(store.root())?;
    Ok(secret)
}

fn secret_path(store: &Store) -> PathBuf {
    store.root().join(format!("{}secret", store.options().prefix))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[test]
    fn owners_see_their_own_and_nobody_elses() {
        let store = |all_owners| Store::open("/", Options { all_owners, ..Options::default() }).unwrap();
        let (bare, all) = (store(false), store(true));
        let (ann, bob) = (bare.for_owner(b"ann").unwrap(), bare.for_owner(b"bob").unwrap());
        let uid = Uid::random().unwrap();
        let recorded = digest_for(&ann, uid);
        let sees = |store: &Store, recorded: Option<[u8; 32]>| admits(store, uid, recorded.as_ref());
        assert!(sees(&ann, recorded) && sees(&all, recorded) && sees(&all, None) && sees(&bare, None));
        assert!(!sees(&bob, recorded) && !sees(&bare, recorded) && !sees(&ann, None));
        assert!(!admits(&ann, Uid::random().unwrap(), recorded.as_ref()), "each upload has another digest");
        assert!(!sees(&all.for_owner(b"bob").unwrap(), recorded), "a view is its owner's");
    }
}
