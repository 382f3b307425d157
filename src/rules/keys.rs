//! Owners and upload keys. HMAC-SHA-256 (RFC 2104) turns an owner into a digest, and a key into a uid.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::api::chunk::{MAX_OWNER, MAX_UPLOAD_KEY, MIN_BARE_UPLOAD_KEY};
use crate::api::error::{Error, Result};
use crate::api::uid::Uid;

/// Refuses an owner that is empty or too long.
pub(crate) fn validate_owner(owner: &[u8]) -> Result<()> {
    if (1..=MAX_OWNER).contains(&owner.len()) {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!("owner has {} bytes, 1 to {MAX_OWNER} are allowed", owner.len())))
}

/// Refuses a key that is too long, or that another client could guess.
pub(crate) fn validate_key(owner: Option<&[u8]>, key: &[u8]) -> Result<()> {
    let least = if owner.is_some() { 1 } else { MIN_BARE_UPLOAD_KEY };
    if (least..=MAX_UPLOAD_KEY).contains(&key.len()) {
        return Ok(());
    }
    let scope = if owner.is_some() { "" } else { " without an owner" };
    let text = format!("upload_key has {} bytes, {least} to {MAX_UPLOAD_KEY} are allowed{scope}", key.len());
    Err(Error::InvalidArgument(text))
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The stored digest of an owner, keyed with the uid. The uid is a secret and different in each upload. So the digest
/// reveals neither the owner nor which uploads have one owner, and depends on nothing that could be lost.
fn digest(uid: Uid, owner: &[u8]) -> Hmac<Sha256> {
    hmac(uid.as_str().as_bytes()).chain_update(b"owner\0").chain_update(owner)
}

/// The bytes to store of an upload's owner.
pub(crate) fn digest_for(owner: Option<&[u8]>, uid: Uid) -> Option<[u8; 32]> {
    owner.map(|owner| digest(uid, owner).finalize().into_bytes().into())
}

/// Whether a handle for this owner, or for all owners, sees an upload whose recorded owner is `recorded`.
pub(crate) fn admits(owner: Option<&[u8]>, all_owners: bool, uid: Uid, recorded: Option<&[u8; 32]>) -> bool {
    match (owner, recorded) {
        // The comparison takes constant time.
        (Some(owner), Some(recorded)) => digest(uid, owner).verify_slice(recorded).is_ok(),
        (None, None) => true,
        _ => all_owners,
    }
}

pub(crate) const SECRET_SIZE: usize = 32;

pub(crate) fn uid_for_key(secret: &[u8; SECRET_SIZE], owner: Option<&[u8]>, key: &[u8]) -> Uid {
    let mut hmac = hmac(secret);
    // The length before the owner separates owner and key. `u64::MAX`, which no owner has as its length, stands for no
    // owner.
    hmac.update(&owner.map_or(u64::MAX, |owner| owner.len() as u64).to_le_bytes());
    hmac.update(owner.unwrap_or_default());
    hmac.update(key);
    let hash: [u8; 32] = hmac.finalize().into_bytes().into();
    Uid::derived(hash.as_chunks::<16>().0[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_see_their_own_uploads_and_no_others() {
        let uid = Uid::derived([7; 16]);
        let (ann, bob) = (Some(&b"ann"[..]), Some(&b"bob"[..]));
        let recorded = digest_for(ann, uid);
        let sees = |owner, all_owners, recorded: Option<[u8; 32]>| admits(owner, all_owners, uid, recorded.as_ref());
        assert!(sees(ann, false, recorded) && sees(None, true, recorded) && sees(None, true, None));
        assert!(sees(None, false, None) && !sees(None, false, recorded));
        assert!(!sees(bob, false, recorded) && !sees(ann, false, None));
        let other = Uid::derived([8; 16]);
        assert!(!admits(ann, false, other, recorded.as_ref()), "each upload has another digest");
    }

    #[test]
    fn a_key_leads_to_one_upload_of_one_owner() {
        let uid = |owner, key: &[u8]| uid_for_key(&[1; SECRET_SIZE], owner, key);
        assert_eq!(uid(None, b"key"), uid(None, b"key"));
        assert_ne!(uid(None, b"key"), uid(Some(b"ann"), b"key"));
        assert_ne!(uid(Some(b"ab"), b"c"), uid(Some(b"a"), b"bc"));
        assert_ne!(uid(None, b"key"), uid_for_key(&[2; SECRET_SIZE], None, b"key"));
    }
}
