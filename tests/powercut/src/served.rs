//! The disk as the kernel asks for it, over FUSE.
//!
//! Bytes are written through, so that each `write` of a program is one operation here; locks and memory maps are the
//! kernel's own affair, as on a local disk.

use std::{
    ffi::OsStr,
    sync::{Arc, MutexGuard},
    time::{Duration, SystemTime},
};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::{
    disk::Ino,
    fault::{Answer, Kind},
    machine::{Machine, Power, State, Verdict},
    tree::{Meta, Node},
};

/// Nobody but this kernel changes the files.
const LONG: Duration = Duration::from_hours(1);
const BLOCK: u32 = 4096;

pub(crate) struct Served(pub(crate) Arc<Machine>);

/// The state, if there is power; else the reply is held or refused and the function ends.
macro_rules! powered {
    ($self:ident, $reply:ident) => {{
        let mut state = $self.0.state();
        match state.power {
            Power::On => state,
            Power::Frozen => return state.hold($reply),
            Power::Off => return $reply.error(Errno::EIO),
        }
    }};
}

/// What a counted operation may do; a fault is answered and the function ends.
macro_rules! judged {
    ($state:ident, $reply:ident, $kind:expr, $name:expr, $at:expr, $len:expr) => {{
        let name = $name.to_owned();
        match $state.judge($kind, &name, $at, $len) {
            Verdict::Say(Answer::Error(number)) => return $reply.error(Errno::from_i32(number)),
            verdict => verdict,
        }
    }};
}

impl Served {
    /// Ends an operation that was done: answers, or takes the power away instead.
    fn done<R: Send + 'static>(
        &self,
        mut state: MutexGuard<'_, State>,
        verdict: Verdict,
        reply: R,
        answer: impl FnOnce(R),
    ) {
        if verdict == Verdict::Last {
            self.0.freeze(&mut state);
            state.hold(reply);
        } else {
            drop(state);
            answer(reply);
        }
    }

    fn sync(&self, ino: INodeNo, reply: ReplyEmpty) {
        let mut state = powered!(self, reply);
        let verdict = judged!(state, reply, Kind::Sync, state.name(ino.0), 0, 0);
        match verdict {
            Verdict::Go | Verdict::Say(Answer::Error(_) | Answer::Short(_)) => state.disk.sync(ino.0),
            Verdict::Say(Answer::Late(operations)) => state.sync_later(ino.0, operations),
            Verdict::Say(Answer::Lie) | Verdict::Last => {}
        }
        self.done(state, verdict, reply, ReplyEmpty::ok);
    }

    fn remove(&self, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = powered!(self, reply);
        let Some(ino) = state.disk.live().child(dir.0, name) else { return reply.error(Errno::ENOENT) };
        if state.disk.live().names(ino).is_some_and(|names| !names.is_empty()) {
            return reply.error(Errno::ENOTEMPTY);
        }
        let verdict = judged!(state, reply, Kind::Remove, name, 0, 0);
        state.disk.forget(dir.0, name);
        state.reap(ino);
        self.done(state, verdict, reply, ReplyEmpty::ok);
    }
}

fn attr(state: &State, ino: Ino) -> Option<FileAttr> {
    let (node, meta) = state.disk.live().node(ino)?;
    let (kind, size, nlink) = match node {
        Node::File(bytes) => (FileType::RegularFile, bytes.len() as u64, 1),
        Node::Dir(_) => (FileType::Directory, 0, 2),
    };
    Some(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: meta.modified,
        mtime: meta.modified,
        ctime: meta.modified,
        crtime: meta.modified,
        kind,
        perm: meta.mode,
        nlink,
        uid: meta.uid,
        gid: meta.gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

#[allow(clippy::disallowed_methods)] // a file system tells the real time
fn now() -> SystemTime {
    SystemTime::now()
}

fn meta(request: &Request, mode: u32, umask: u32) -> Meta {
    let mode = u16::try_from(mode & !umask & 0o7777).unwrap_or(0o600);
    Meta { mode, uid: request.uid(), gid: request.gid(), modified: now() }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = powered!(self, reply);
        let found = state.disk.live().child(parent.0, name).and_then(|ino| attr(&state, ino));
        match found {
            Some(attr) => reply.entry(&LONG, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let state = powered!(self, reply);
        match attr(&state, ino.0) {
            Some(attr) => reply.attr(&LONG, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = powered!(self, reply);
        let mut verdict = Verdict::Go;
        if let Some(size) = size {
            verdict = judged!(state, reply, Kind::Resize, state.name(ino.0), 0, size);
            let there = state.disk.live().bytes(ino.0).map_or(0, |bytes| bytes.len() as u64);
            if size.saturating_sub(there) > state.free() {
                return reply.error(Errno::ENOSPC);
            }
            state.disk.resize(ino.0, size);
        }
        state.disk.set_meta(ino.0, |meta| {
            meta.mode = mode.and_then(|mode| u16::try_from(mode & 0o7777).ok()).unwrap_or(meta.mode);
            (meta.uid, meta.gid) = (uid.unwrap_or(meta.uid), gid.unwrap_or(meta.gid));
            meta.modified = match modified {
                Some(TimeOrNow::SpecificTime(time)) => time,
                _ => now(),
            };
        });
        match attr(&state, ino.0) {
            Some(attr) => self.done(state, verdict, reply, |reply| reply.attr(&LONG, &attr)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, request: &Request, dir: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut state = powered!(self, reply);
        let verdict = judged!(state, reply, Kind::Create, name, 0, 0);
        let Some(ino) = state.disk.make(dir.0, name, Node::dir(), meta(request, mode, umask)) else {
            return reply.error(Errno::EEXIST);
        };
        state.call(ino, name);
        match attr(&state, ino) {
            Some(attr) => self.done(state, verdict, reply, |reply| reply.entry(&LONG, &attr, Generation(0))),
            None => reply.error(Errno::EIO),
        }
    }

    fn create(&self, request: &Request, dir: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let mut state = powered!(self, reply);
        let verdict = judged!(state, reply, Kind::Create, name, 0, 0);
        let Some(ino) = state.disk.make(dir.0, name, Node::file(), meta(request, mode, umask)) else {
            return reply.error(Errno::EEXIST);
        };
        state.call(ino, name);
        *state.opened.entry(ino).or_default() += 1;
        let Some(attr) = attr(&state, ino) else { return reply.error(Errno::EIO) };
        self.done(state, verdict, reply, |reply| {
            reply.created(&LONG, &attr, Generation(0), FileHandle(0), FopenFlags::empty());
        });
    }

    fn unlink(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(dir, name, reply);
    }

    fn rmdir(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(dir, name, reply);
    }

    fn rename(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        new_dir: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = powered!(self, reply);
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        let Some(ino) = state.disk.live().child(dir.0, name) else { return reply.error(Errno::ENOENT) };
        let replaced = state.disk.live().child(new_dir.0, new_name);
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && replaced.is_some() {
            return reply.error(Errno::EEXIST);
        }
        let verdict = judged!(state, reply, Kind::Rename, name, 0, 0);
        state.disk.rename((dir.0, name), (new_dir.0, new_name));
        state.call(ino, new_name);
        if let Some(replaced) = replaced {
            state.reap(replaced);
        }
        self.done(state, verdict, reply, ReplyEmpty::ok);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut state = powered!(self, reply);
        *state.opened.entry(ino.0).or_default() += 1;
        // Only through this kernel do files change, so what it has kept of one stays true.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = powered!(self, reply);
        let name = state.name(ino.0).to_owned();
        if let Some(Answer::Error(number)) = state.answered(Kind::Read, &name) {
            return reply.error(Errno::from_i32(number));
        }
        let Some(bytes) = state.disk.live().bytes(ino.0) else { return reply.error(Errno::ENOENT) };
        let from = bytes.len().min(offset as usize);
        let to = bytes.len().min(from + size as usize);
        reply.data(&bytes[from..to]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = powered!(self, reply);
        let verdict = if write_flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
            Verdict::Go
        } else {
            judged!(state, reply, Kind::Write, state.name(ino.0), offset, data.len() as u64)
        };
        let Some(there) = state.disk.live().bytes(ino.0).map(Vec::len) else { return reply.error(Errno::ENOENT) };
        let blocks = |bytes: u64| bytes.div_ceil(u64::from(BLOCK)) * u64::from(BLOCK);
        // As far as the free blocks go: a disk that is nearly full takes a part of a write.
        let room = (blocks(there as u64) + state.free()).saturating_sub(offset);
        let mut written = data.len().min(room as usize);
        if let Verdict::Say(Answer::Short(at_most)) = verdict {
            written = written.min(at_most as usize);
        }
        if written == 0 && !data.is_empty() {
            return reply.error(Errno::ENOSPC);
        }
        if verdict != Verdict::Say(Answer::Lie) {
            state.disk.write(ino.0, offset, &data[..written]);
        }
        state.disk.set_meta(ino.0, |meta| meta.modified = now());
        self.done(state, verdict, reply, |reply| reply.written(written as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let mut state = self.0.state();
        if let Some(opened) = state.opened.get_mut(&ino.0) {
            *opened = opened.saturating_sub(1);
        }
        if state.power == Power::On {
            state.reap(ino.0);
        }
        drop(state);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = powered!(self, reply);
        let Some(names) = state.disk.live().names(ino.0) else { return reply.error(Errno::ENOTDIR) };
        let dots = [".", ".."].map(|name| (OsStr::new(name), ino.0));
        let all = dots.into_iter().chain(names.iter().map(|(name, ino)| (name.as_os_str(), *ino)));
        for (place, (name, ino)) in all.enumerate().skip(offset as usize) {
            let kind = match state.disk.live().names(ino) {
                Some(_) => FileType::Directory,
                None => FileType::RegularFile,
            };
            if reply.add(INodeNo(ino), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = powered!(self, reply);
        let block = u64::from(BLOCK);
        let free = state.free() / block;
        let total = state.capacity.map_or(free + state.disk.used() / block, |capacity| capacity / block);
        reply.statfs(total, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fallocate(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, len: u64, mode: i32, reply: ReplyEmpty) {
        let mut state = powered!(self, reply);
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let verdict = judged!(state, reply, Kind::Resize, state.name(ino.0), offset, len);
        let there = state.disk.live().bytes(ino.0).map_or(0, |bytes| bytes.len() as u64);
        let size = there.max(offset + len);
        if size - there > state.free() {
            return reply.error(Errno::ENOSPC);
        }
        state.disk.resize(ino.0, size);
        self.done(state, verdict, reply, ReplyEmpty::ok);
    }
}
