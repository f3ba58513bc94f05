//! Bounds that belong to formats, so that both sides of a seam share them. Bounds that an operator
//! may set are in the configuration of the part that keeps them.

/// Labels in one set.
pub const LABELS: usize = 64;
/// Bytes of one label name or value; longer ones are refused, never cut.
pub const LABEL_BYTES: usize = 4096;
/// Bytes of the help text of a metric.
pub const HELP_BYTES: usize = 4096;
/// Bytes of one request body, envelope and frames (DESIGN §5).
pub const REQUEST_BYTES: usize = 1 << 20;
/// Bytes of one frame as stored.
pub const FRAME_BYTES: usize = (1 << 20) - ENVELOPE_BYTES;
/// Bytes kept free for the envelope in a request.
pub const ENVELOPE_BYTES: usize = 4096;
/// Bytes of a frame's sections after inflating; the declared size is checked first.
pub const FRAME_INFLATED_BYTES: usize = 16 << 20;
/// Skipped ranges in one envelope; more wait for the next request.
pub const SKIPS: usize = 128;
/// Frames in one request.
pub const FRAMES: usize = 1024;
/// Sections in one frame.
pub const SECTIONS: usize = 4096;
/// Column groups of one stream; their numbers lie below it. A thousand targets that are scraped
/// have two each, and over a reload as many again.
pub const GROUPS: u32 = 8192;
/// Bytes that the frames of one request may inflate to before the rest is put off.
pub const REQUEST_INFLATED_BYTES: usize = 32 << 20;
/// Strings in the description of one group.
pub const STRINGS: usize = 4 * COLUMNS;
/// Bytes of text that the descriptions of one frame may hold and unfold to.
pub const FRAME_LABEL_BYTES: usize = 32 << 20;
/// Columns of one group.
pub const COLUMNS: usize = 100_000;
/// Bytes of frames in one spool segment.
pub const SEGMENT_BYTES: usize = 1 << 20;
/// Frames in one spool segment; each segment decodes alone. What opens one is as large as some
/// thirty frames, and what a damaged frame costs ends with its segment: ten minutes at 1 s.
pub const SEGMENT_FRAMES: u32 = 600;
/// Rows of a group from one key section to the next.
pub const KEY_ROWS: u32 = 600;
