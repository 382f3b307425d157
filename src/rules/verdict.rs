//! What an upload is, by its record and the files that are there: one answer for every call.
//!
//! | stage | files | what happened | verdict |
//! |---|---|---|---|
//! | receiving | `data` | | [`Verdict::Receiving`] |
//! | receiving | `file` | crash after the rename in place | [`Verdict::Renamed`] |
//! | receiving | `ordered` | power loss took the mark *ordered* | [`Verdict::Unmarked`] |
//! | receiving | none, but `claim`, or a record void or of this boot | the owner has the file | [`Verdict::Gone`] |
//! | receiving | none | power loss took them before the file was handed out | [`Verdict::NoUpload`] |
//! | ordered | `ordered` or `file` | crash after the mark | [`Verdict::Ordered`] |
//! | ordered | only `data` | power loss took the copy | [`Verdict::CopyLost`] |
//! | complete | `file` | | [`Verdict::Finished`] |
//! | complete, in order by a rewrite, not trusted | `ordered` | power loss took the rename | [`Verdict::Unmarked`] |
//! | complete, in order by a rewrite, not trusted | `data` | power loss took the copy | [`Verdict::CopyLost`] |
//! | complete, in place, not trusted | `data` | power loss took the rename | [`Verdict::RenameLost`] |
//! | ordered, complete | none of these | the owner took the file | [`Verdict::Gone`] |
//! | gone | | | [`Verdict::Gone`] |
//! | creating, removed | | | [`Verdict::NoUpload`] |
//!
//! One rule precedes the others: when a finished file is missing under a trusted record, its owner took it. It never
//! comes back.

use std::ffi::CStr;

use crate::api::answers::Phase;
use crate::rules::format::layout::{CLAIM, DATA, FILE, ORDERED};
use crate::rules::format::records::{Stage, StageRecord};
use crate::rules::tag::Trust;

/// What an upload is, and what a call that holds all its locks does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Chunks may come.
    Receiving,
    /// All chunks are there, in order, under the name of the finished file: rename it back, and complete again.
    Renamed,
    /// The copy in order is there, but the record does not say so: record the stage *ordered*.
    Unmarked,
    /// The copy in order is there: finish from here.
    Ordered,
    /// No chunk's place is known: all are missing.
    CopyLost,
    /// Power loss took the rename. All chunks are there, in order, in `data`: mark the upload as receiving again.
    RenameLost,
    /// The finished file is there.
    Finished,
    /// The owner took the finished file.
    Gone,
    /// There is no upload.
    NoUpload,
}

impl Verdict {
    /// What clients are told; `None` if there is no upload.
    pub(crate) fn phase(self) -> Option<Phase> {
        match self {
            Verdict::Finished => Some(Phase::Complete),
            Verdict::Gone => Some(Phase::Gone),
            Verdict::NoUpload => None,
            _ => Some(Phase::Receiving),
        }
    }
}

/// Judges an upload. `has` tells whether a file is there; it is asked only for files that matter.
pub(crate) fn verdict<E>(
    record: StageRecord,
    trust: Trust,
    mut has: impl FnMut(&'static CStr) -> Result<bool, E>,
) -> Result<Verdict, E> {
    let trusted = trust.trusts(record.tag);
    Ok(match record.stage {
        Stage::Receiving if has(DATA)? => Verdict::Receiving,
        Stage::Receiving if has(FILE)? => Verdict::Renamed,
        Stage::Receiving if has(ORDERED)? => Verdict::Unmarked,
        // The file was finished before, is being moved, or was received under this boot.
        Stage::Receiving if record.grid_is_void || trust.is_of_this_boot(record.tag) || has(CLAIM)? => Verdict::Gone,
        Stage::Receiving => Verdict::NoUpload,
        Stage::Ordered if has(ORDERED)? || has(FILE)? => Verdict::Ordered,
        Stage::Ordered if has(DATA)? => Verdict::CopyLost,
        Stage::Complete if has(FILE)? => Verdict::Finished,
        Stage::Complete if trusted => Verdict::Gone,
        Stage::Complete if record.grid_is_void && has(ORDERED)? => Verdict::Unmarked,
        Stage::Complete if record.grid_is_void && has(DATA)? => Verdict::CopyLost,
        Stage::Complete if has(DATA)? => Verdict::RenameLost,
        Stage::Ordered | Stage::Complete | Stage::Gone => Verdict::Gone,
        Stage::Creating | Stage::Removed => Verdict::NoUpload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tag::Tag;
    use Stage::{Complete, Creating, Gone, Ordered, Receiving, Removed};

    const NOW: Tag = Tag::from_number(77);
    const EARLIER: Tag = Tag::from_number(78);

    fn judge(stage: Stage, grid_is_void: bool, tag: Tag, files: &[&CStr]) -> Verdict {
        let record = StageRecord { stage, crc32c: 0, tag, grid_is_void };
        verdict(record, Trust::of(Some(NOW)), |name| Ok::<_, ()>(files.contains(&name))).unwrap()
    }

    /// Stage, whether the grid is void, the record's tag, the files that are there, the verdict. The row holds for all
    /// combinations.
    type Row<'a> = (Stage, &'a [bool], &'a [Tag], &'a [&'a CStr], Verdict);

    #[test]
    fn the_table_is_right() {
        let (both, any) = ([false, true], [NOW, EARLIER, Tag::SYNCED]);
        let rows: &[Row<'_>] = &[
            (Receiving, &both, &any, &[DATA], Verdict::Receiving),
            (Receiving, &both, &any, &[DATA, ORDERED, CLAIM], Verdict::Receiving),
            (Receiving, &both, &any, &[FILE], Verdict::Renamed),
            (Receiving, &both, &any, &[ORDERED], Verdict::Unmarked),
            (Receiving, &[false], &[EARLIER], &[], Verdict::NoUpload),
            (Receiving, &[false], &[NOW], &[], Verdict::Gone),
            (Receiving, &[true], &[EARLIER], &[], Verdict::Gone),
            (Receiving, &both, &any, &[CLAIM], Verdict::Gone),
            (Ordered, &both, &any, &[ORDERED], Verdict::Ordered),
            (Ordered, &both, &any, &[ORDERED, DATA], Verdict::Ordered),
            (Ordered, &both, &any, &[FILE], Verdict::Ordered),
            (Ordered, &both, &any, &[DATA], Verdict::CopyLost),
            (Ordered, &both, &any, &[], Verdict::Gone),
            (Complete, &both, &any, &[FILE], Verdict::Finished),
            (Complete, &both, &any, &[FILE, DATA, ORDERED], Verdict::Finished),
            (Complete, &both, &[NOW, Tag::SYNCED], &[], Verdict::Gone),
            (Complete, &both, &[NOW, Tag::SYNCED], &[DATA, ORDERED], Verdict::Gone),
            (Complete, &both, &[EARLIER], &[], Verdict::Gone),
            (Complete, &[true], &[EARLIER], &[ORDERED, DATA], Verdict::Unmarked),
            (Complete, &[true], &[EARLIER], &[DATA], Verdict::CopyLost),
            (Complete, &[false], &[EARLIER], &[DATA], Verdict::RenameLost),
            (Complete, &[false], &[EARLIER], &[ORDERED], Verdict::Gone),
            (Gone, &both, &any, &[FILE], Verdict::Gone),
            (Creating, &both, &any, &[DATA], Verdict::NoUpload),
            (Removed, &both, &any, &[FILE], Verdict::NoUpload),
        ];
        for (stage, voids, tags, files, expected) in rows {
            for (void, tag) in voids.iter().flat_map(|void| tags.iter().map(move |tag| (*void, *tag))) {
                assert_eq!(judge(*stage, void, tag, files), *expected, "{stage:?} {void} {tag:?} {files:?}");
            }
        }
    }

    /// A trusted record says that the file was finished, and the file is missing. No other files bring it back.
    #[test]
    fn a_file_that_its_owner_took_never_comes_back() {
        let others = [DATA, ORDERED, CLAIM];
        for files in 0..1 << others.len() {
            let there: Vec<&CStr> = (0..others.len()).filter(|at| files >> at & 1 == 1).map(|at| others[at]).collect();
            for void in [false, true] {
                assert_eq!(judge(Complete, void, NOW, &there), Verdict::Gone, "{there:?}");
                assert_eq!(judge(Complete, void, Tag::SYNCED, &there).phase(), Some(Phase::Gone));
            }
        }
    }
}
