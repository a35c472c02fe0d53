//! What supervisor, guardian and launcher say to each other, and the socket they say it over.
//!
//! One message is one packet of a `SOCK_SEQPACKET` pair, so none is ever seen in half. The socket is
//! handed to the next stage as its standard input, and the real standard input follows as a descriptor
//! in the first packet: a new process can take over descriptors 0 to 2 only, unless it uses unsafe code.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lease_core::Instant;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Pid;

use super::{Hold, Status};

/// From the supervisor to the guardian, and `Launch` from the guardian to the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Begin, under this hold. Carries the command's standard input.
    Launch(Hold),
    /// The command may be executed now: its process group has been given the terminal, if there is one.
    Go,
    /// A renewal was acknowledged. The guardian answers with the number.
    Extend { number: u64, hold: Hold },
    /// Send the stop signal; the hold goes on.
    Drain,
    /// The hold is over: send the stop signal, kill at this instant at the latest, accept no extension.
    End { kill_at: Instant },
    /// Send this signal to the command's process group.
    Signal(i32),
    /// Kill the tree now.
    Kill,
}

/// From the guardian to the supervisor, and `NotRun` from the launcher to the guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// There is a process that will become the command, and leads a process group of this number.
    Spawned(Pid),
    /// The command is running.
    Running,
    /// The command could not be executed.
    NotRun(Errno),
    /// The order of this number was read.
    Acknowledged(u64),
    /// The hold ended before an extension arrived; the stop signal was sent, no extension helps now.
    Expired,
    /// The command ended. What it started may still be there.
    Exited(Status),
    /// Nothing of the tree is left. The last report.
    Gone,
}

type Frame = [u64; 6];

const FRAME_BYTES: usize = size_of::<Frame>();

impl Order {
    fn frame(self) -> Frame {
        match self {
            Self::Launch(hold) => hold_frame(1, 0, hold),
            Self::Go => [2, 0, 0, 0, 0, 0],
            Self::Extend { number, hold } => hold_frame(3, number, hold),
            Self::Drain => [4, 0, 0, 0, 0, 0],
            Self::End { kill_at } => [5, kill_at.boottime_nanos(), kill_at.raw_nanos(), 0, 0, 0],
            Self::Signal(number) => [6, signed(number), 0, 0, 0, 0],
            Self::Kill => [7, 0, 0, 0, 0, 0],
        }
    }

    fn parse(frame: Frame) -> Option<Self> {
        let hold =
            Hold { ends: Instant::from_nanos(frame[2], frame[3]), kill_at: Instant::from_nanos(frame[4], frame[5]) };
        Some(match frame[0] {
            1 => Self::Launch(hold),
            2 => Self::Go,
            3 => Self::Extend { number: frame[1], hold },
            4 => Self::Drain,
            5 => Self::End { kill_at: Instant::from_nanos(frame[1], frame[2]) },
            6 => Self::Signal(i32::try_from(frame[1]).ok()?),
            7 => Self::Kill,
            _ => return None,
        })
    }
}

impl Report {
    fn frame(self) -> Frame {
        let (kind, value) = match self {
            Self::Spawned(pid) => (101, signed(pid.as_raw_pid())),
            Self::Running => (102, 0),
            Self::NotRun(error) => (103, signed(error.raw_os_error())),
            Self::Acknowledged(number) => (104, number),
            Self::Expired => (105, 0),
            Self::Exited(Status::Code(code)) => (106, code.into()),
            Self::Exited(Status::Signal(number)) => (107, signed(number)),
            Self::Gone => (108, 0),
        };
        [kind, value, 0, 0, 0, 0]
    }

    fn parse(frame: Frame) -> Option<Self> {
        let small = i32::try_from(frame[1]);
        Some(match frame[0] {
            101 => Self::Spawned(Pid::from_raw(small.ok()?)?),
            102 => Self::Running,
            103 => Self::NotRun(Errno::from_raw_os_error(small.ok()?)),
            104 => Self::Acknowledged(frame[1]),
            105 => Self::Expired,
            106 => Self::Exited(Status::Code(u8::try_from(frame[1]).ok()?)),
            107 => Self::Exited(Status::Signal(small.ok()?)),
            108 => Self::Gone,
            _ => return None,
        })
    }
}

fn hold_frame(kind: u64, number: u64, hold: Hold) -> Frame {
    let Hold { ends, kill_at } = hold;
    [kind, number, ends.boottime_nanos(), ends.raw_nanos(), kill_at.boottime_nanos(), kill_at.raw_nanos()]
}

/// Numbers of signals, errors and processes, which are never negative.
fn signed(number: i32) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// What a look into the socket showed.
#[derive(Debug)]
pub(super) enum Received<M> {
    /// A message, and the descriptor that came with it.
    Message(M, Option<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// The other side is gone.
    Closed,
}

/// One end of the socket. Closed on exec, so only the stage that it is meant for keeps it.
#[derive(Debug)]
pub(super) struct Wire(OwnedFd);

impl Wire {
    /// A pair: ours, and the other one to become somebody's standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), theirs))
    }

    /// The end that this process was given as its standard input.
    pub(super) fn inherited() -> io::Result<Self> {
        io::stdin().as_fd().try_clone_to_owned().map(Self)
    }

    /// Sends an order without waiting. A full socket is an error: the other side has long been stuck.
    pub(super) fn order(&self, order: Order, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.send(order.frame(), descriptor)
    }

    /// Sends a report without waiting.
    pub(super) fn report(&self, report: Report) -> io::Result<()> {
        self.send(report.frame(), None)
    }

    /// The next order, if there is one.
    pub(super) fn next_order(&self) -> io::Result<Received<Order>> {
        self.receive(RecvFlags::DONTWAIT, Order::parse)
    }

    /// The next order, however long it takes.
    pub(super) fn wait_for_order(&self) -> io::Result<Received<Order>> {
        self.receive(RecvFlags::empty(), Order::parse)
    }

    /// The next report, if there is one.
    pub(super) fn next_report(&self) -> io::Result<Received<Report>> {
        self.receive(RecvFlags::DONTWAIT, Report::parse)
    }

    fn send(&self, frame: Frame, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut bytes = [0; FRAME_BYTES];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(frame) {
            slot.copy_from_slice(&word.to_ne_bytes());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: &[BorrowedFd<'_>] = descriptor.as_slice();
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::NOBUFS.into());
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive<M>(&self, flags: RecvFlags, parse: fn(Frame) -> Option<M>) -> io::Result<Received<M>> {
        let mut bytes = [0; FRAME_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
                // A peer that died with a message of ours unread shows as a reset, once; what it said
                // before is still to be read after that.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                other => break other,
            }
        };
        match received {
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(error) => return Err(error.into()),
            Ok(message) if message.bytes == 0 => return Ok(Received::Closed),
            Ok(message) if message.bytes != FRAME_BYTES => return Err(Errno::BADMSG.into()),
            Ok(_) => {}
        }
        let mut frame = Frame::default();
        for (word, slot) in frame.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(slot.try_into().expect("chunks of eight"));
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        parse(frame).map(|message| Received::Message(message, descriptor)).ok_or_else(|| Errno::BADMSG.into())
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold() -> Hold {
        Hold { ends: Instant::from_nanos(1, 2), kill_at: Instant::from_nanos(3, u64::MAX) }
    }

    #[test]
    fn every_message_survives_the_socket() {
        let (ours, theirs) = Wire::pair().expect("a pair");
        let theirs = Wire(theirs);
        let pid = Pid::from_raw(77).expect("not zero");
        for order in [
            Order::Launch(hold()),
            Order::Go,
            Order::Extend { number: u64::MAX, hold: hold() },
            Order::Drain,
            Order::End { kill_at: hold().kill_at },
            Order::Signal(10),
            Order::Kill,
        ] {
            ours.order(order, None).expect("sent");
            assert!(matches!(theirs.next_order().expect("received"), Received::Message(got, None) if got == order));
        }
        for report in [
            Report::Spawned(pid),
            Report::Running,
            Report::NotRun(Errno::NOENT),
            Report::Acknowledged(5),
            Report::Expired,
            Report::Exited(Status::Code(255)),
            Report::Exited(Status::Signal(9)),
            Report::Gone,
        ] {
            theirs.report(report).expect("sent");
            assert!(matches!(ours.next_report().expect("received"), Received::Message(got, None) if got == report));
        }
        assert!(matches!(ours.next_report().expect("looked"), Received::Nothing));
        drop(theirs);
        assert!(matches!(ours.next_report().expect("looked"), Received::Closed));
    }

    #[test]
    fn a_descriptor_travels_with_the_first_order() {
        let (ours, theirs) = Wire::pair().expect("a pair");
        let (reader, writer) = io::pipe().expect("a pipe");
        ours.order(Order::Launch(hold()), Some(reader.as_fd())).expect("sent");
        drop(reader);
        let Received::Message(_, Some(descriptor)) = Wire(theirs).wait_for_order().expect("received") else {
            panic!("no descriptor came with the order");
        };
        rustix::io::write(&writer, b"x").expect("somebody holds the other end");
        let mut byte = [0];
        assert_eq!(rustix::io::read(&descriptor, &mut byte).expect("readable"), 1);
    }

    #[test]
    fn the_last_report_is_heard_although_its_sender_left_an_order_unread() {
        let (ours, theirs) = Wire::pair().expect("a pair");
        let theirs = Wire(theirs);
        theirs.report(Report::Gone).expect("sent");
        ours.order(Order::Kill, None).expect("sent");
        drop(theirs);
        assert!(matches!(ours.next_report().expect("looked"), Received::Message(Report::Gone, None)));
        assert!(matches!(ours.next_report().expect("looked"), Received::Closed));
    }

    #[test]
    fn an_unknown_message_is_refused() {
        assert_eq!(Order::parse([99, 0, 0, 0, 0, 0]), None);
        assert_eq!(Report::parse([101, 0, 0, 0, 0, 0]), None, "no process has the number 0");
    }
}
