//! A store: an absolute path, options, and the facts that the kernel told about its place. Nothing is kept open between
//! calls.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::api::error::{Error, Result, errno};
use crate::api::options::Options;
use crate::api::uid::Uid;
use crate::local::files::boot::Boot;
use crate::local::files::root::{Root, is_trusted, make_root, refused};
use crate::local::files::sys::Status;
use crate::local::files::volume::Volumes;
use crate::local::files::{file_systems, sys, test_hooks};
use crate::rules::keys;
use crate::rules::tag::Trust;

/// The place of a store, and the facts that its calls need.
#[derive(Clone)]
pub(crate) struct Home {
    root: PathBuf,
    options: Options,
    boot: Boot,
    volumes: Volumes,
    /// The owner of this handle's uploads.
    owner: Option<Vec<u8>>,
}

impl Home {
    /// Examines the place of a store. See [`Store::open`](crate::Store::open).
    pub(crate) fn open(path: &Path, options: Options) -> Result<Home> {
        options.validate()?;
        if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
            return Err(Error::InvalidArgument("the store's path is empty or contains NUL".into()));
        }
        let root = resolve(path)?;
        file_systems::check_file_system(&root, options.durability)?;
        match Root::examine(&root, options.dir_mode) {
            // If the store cannot be examined, the error appears when it is used.
            Err(error) if error.os_errno() == Some(libc::EACCES) => {}
            // A server may open the store as root, and use it as the user who made it.
            Ok(Some(found)) if sys::effective_user() != 0 => found.check_owner(&root)?,
            result => drop(result?),
        }
        let boot = Boot::current()?;
        let volumes =
            Volumes::around(&root).map_err(|error| Error::os("cannot examine the volume of", &root, error))?;
        Ok(Home { root, options, boot, volumes, owner: None })
    }

    pub(crate) fn for_owner(&self, owner: &[u8]) -> Home {
        let options = Options { all_owners: false, ..self.options.clone() };
        Home { options, owner: Some(owner.to_vec()), ..self.clone() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn owner(&self) -> Option<&[u8]> {
        self.owner.as_deref()
    }

    /// Whether this handle sees an upload whose recorded owner is `recorded`.
    pub(crate) fn admits(&self, uid: Uid, recorded: Option<&[u8; 32]>) -> bool {
        keys::admits(self.owner(), self.options.all_owners, uid, recorded)
    }

    /// Whether this handle sees what crashes left, which belongs to no owner.
    pub(crate) fn sees_leftovers(&self) -> bool {
        self.owner.is_none()
    }

    pub(crate) fn directory(&self, uid: Uid) -> PathBuf {
        self.root.join(format!("{}{uid}", self.options.prefix))
    }

    /// The store's directory as it is now; `None` if it does not exist.
    pub(crate) fn examine_root(&self) -> Result<Option<Root>> {
        Root::examine(&self.root, self.options.dir_mode)
    }

    /// The store's directory as it is now; `None` if it does not exist. Also checks the owner. Called where another
    /// user's directory in place of the store could do harm.
    pub(crate) fn examine_root_and_owner(&self) -> Result<Option<Root>> {
        let root = self.examine_root()?;
        root.map_or(Ok(()), |root| root.check_owner(&self.root))?;
        Ok(root)
    }

    /// The store's directory. Makes it if it does not exist.
    pub(crate) fn examine_or_make_root(&self) -> Result<Root> {
        if let Some(root) = self.examine_root_and_owner()? {
            return Ok(root);
        }
        make_root(&self.root, self.options.dir_mode)?;
        // Another call with other options, or another user, may have made it.
        let missing = || Error::os("cannot open the store", &self.root, errno(libc::ENOENT));
        self.examine_root_and_owner()?.ok_or_else(missing)
    }

    /// The tags that are trusted in an open file: those of this boot and of the file's volume.
    pub(crate) fn trust_in(&self, file: &File, status: &Status) -> io::Result<Trust> {
        Ok(self.trust_on(self.volumes.of(file, status)?))
    }

    /// The tags that are trusted on the volume with this number; `None` if the kernel does not tell the number.
    pub(crate) fn trust_on(&self, volume: Option<u64>) -> Trust {
        test_hooks::trust().unwrap_or_else(|| Trust::now(self.boot.id(), volume))
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_owner = self.owner.is_some();
        f.debug_struct("Store")
            .field("root", &self.root)
            .field("options", &self.options)
            .field("has_owner", &has_owner)
            .finish()
    }
}

pub(crate) fn random_uid() -> Result<Uid> {
    Ok(Uid::random(sys::random().map_err(|error| Error::os("cannot read", "/dev/urandom", error))?))
}

/// The absolute path without symbolic links, as far as it exists. Components that do not exist yet keep their names.
fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |error| Error::os("cannot resolve", path, error);
    // This removes a slash at the end: with it the kernel would follow a link.
    let path: PathBuf = std::path::absolute(path).map_err(failed)?.components().collect();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return path.canonicalize().map_err(failed);
    };
    let place = resolve_above(parent).map_err(failed)?.join(name);
    match place.symlink_metadata() {
        Ok(link) if link.is_symlink() && !is_trusted(link.uid()) => {
            Err(refused("another user made the symbolic link that leads to the store:", &place))
        }
        Ok(link) if link.is_symlink() => place.canonicalize().map_err(failed),
        _ => Ok(place),
    }
}

fn resolve_above(parent: &Path) -> io::Result<PathBuf> {
    for existing in parent.ancestors() {
        match existing.canonicalize() {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)) => {}
            result => {
                let rest = parent.strip_prefix(existing).expect("an ancestor is a prefix");
                return result.map(|resolved| resolved.join(rest).components().collect());
            }
        }
    }
    Ok(parent.to_owned())
}
