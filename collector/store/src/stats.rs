//! Counts of what the store holds, took and refused.

/// A snapshot of a store's counts. Sizes are as they are; all else has been counted since the
/// start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series in the index.
    pub series: usize,
    /// Lanes.
    pub lanes: usize,
    /// Blocks that new views see.
    pub blocks: usize,
    /// Parts that are still to be merged into blocks.
    pub parts: usize,
    /// Bytes of blocks that new views see, in memory or in files.
    pub sealed_bytes: usize,
    /// Bytes of open rows, of parts that are still to be merged, and of columns' names.
    pub open_bytes: usize,
    /// Bytes of dropped blocks that wait for older views.
    pub pinned_bytes: usize,
    /// Chunk files with blocks that new views see.
    pub files: usize,
    /// Blocks in files that were found damaged; their samples are missing.
    pub blocks_damaged: u64,
    /// Views that live.
    pub views: usize,
    /// Series created.
    pub series_created: u64,
    /// Series removed, since no row of theirs is left.
    pub series_removed: u64,
    /// Rows appended.
    pub rows_appended: u64,
    /// Samples appended, stale markers among them.
    pub samples_appended: u64,
    /// Samples in blocks that were sealed, parts not among them.
    pub samples_sealed: u64,
    /// Samples of rows not newer than their lane's last, refused.
    pub samples_out_of_order: u64,
    /// Samples at places without a series, refused.
    pub samples_refused: u64,
    /// Samples of blocks dropped for their age.
    pub samples_expired: u64,
    /// Samples of blocks dropped for the bytes.
    pub samples_evicted: u64,
    /// Samples that gave way to another of the same series and time, counted at each reading.
    pub duplicates_merged: u64,
    /// Columns refused: the store is full of series.
    pub refused_store_full: u64,
    /// Columns refused: the source has its number of series.
    pub refused_source_full: u64,
    /// Columns refused: another column of the group has the same labels.
    pub refused_repeated: u64,
    /// Columns refused: the group has too many.
    pub refused_too_wide: u64,
    /// Silences of sources forgotten, for there were too many.
    pub gaps_forgotten: u64,
}
