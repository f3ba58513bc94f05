//! What may go wrong, beside the links.

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// `kill -9` of an agent, at once or in the middle of an operation of its disk.
    KillAgent,
    /// The power of an agent's host fails.
    CutAgent,
    /// An agent is told to stop, and started again.
    StopAgent,
    /// As for the agent.
    KillCollector,
    /// As for the agent.
    CutCollector,
    /// An agent's disk is copied and runs as another host with the same machine id.
    CloneSame,
    /// The same with another machine id.
    CloneOther,
    /// A collector starts over with an empty disk.
    Wipe,
    /// A collector starts over with an older copy of its disk.
    Restore,
    /// An agent's disk is full for a while.
    FullAgent,
    /// A collector's disk is full for a while.
    FullCollector,
    /// An agent's date jumps by an hour.
    JumpAgent,
    /// A collector's date jumps by an hour.
    JumpCollector,
    /// No message passes between an agent and a collector for a while.
    Partition,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 14] = [
        FaultKind::KillAgent,
        FaultKind::CutAgent,
        FaultKind::StopAgent,
        FaultKind::KillCollector,
        FaultKind::CutCollector,
        FaultKind::CloneSame,
        FaultKind::CloneOther,
        FaultKind::Wipe,
        FaultKind::Restore,
        FaultKind::FullAgent,
        FaultKind::FullCollector,
        FaultKind::JumpAgent,
        FaultKind::JumpCollector,
        FaultKind::Partition,
    ];

    /// Whether a date jumps.
    #[must_use]
    pub fn is_jump(self) -> bool {
        matches!(self, FaultKind::JumpAgent | FaultKind::JumpCollector)
    }
}

/// What a message on a link suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hurt {
    /// Nothing.
    None,
    /// It never arrives, and nobody is told.
    Lost,
    /// The sender is told that the connection broke; the message may have arrived.
    Broken {
        /// Whether it has.
        arrives: bool,
    },
    /// It arrives twice.
    Twice,
    /// It arrives after the sender has given up.
    Late,
    /// Bits are flipped.
    Flipped,
    /// Something else answers.
    Portal,
    /// The collector's listener answers that it is full.
    Full,
    /// The collector's listener does not know the token for once.
    Unauthorized,
}

impl Hurt {
    /// The hurts, by number below [`Hurt::COUNT`].
    #[must_use]
    pub fn of(number: u64) -> Hurt {
        match number {
            0 => Hurt::Lost,
            1 => Hurt::Broken { arrives: false },
            2 => Hurt::Broken { arrives: true },
            3 | 4 => Hurt::Twice,
            5 | 6 => Hurt::Late,
            7 | 8 => Hurt::Flipped,
            9 => Hurt::Portal,
            10 => Hurt::Full,
            _ => Hurt::Unauthorized,
        }
    }

    /// Number of hurts.
    pub const COUNT: u64 = 12;
}
