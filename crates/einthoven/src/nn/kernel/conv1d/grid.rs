//! The memory that the loops of `direct` read: signals in padded rows.
//!
//! A copied row holds one channel at one phase of the stride: with stride 2, even samples in one
//! row and odd ones in the next. Every tap then reads consecutive values. A signal that already
//! looks so is not copied.

use burn_flex::FlexTensor;

use super::super::cpu::values;
use super::super::scratch::Scratch;
use super::super::tile::LINE;

/// Where each channel, phase and tap lies in a copied signal.
pub(super) struct Grid {
    /// Rows per channel.
    phases: usize,
    /// Distance between rows, an odd number of cache lines so that rows spread over the cache.
    pub pitch: usize,
    /// Start of each tap relative to the first row of a channel.
    pub taps: Vec<usize>,
    /// Zeros before the signal; negative when its first samples are left out.
    left: isize,
    /// Values of a row that are read.
    reach: usize,
}

impl Grid {
    /// For taps that start `shifts` samples after the first of `count` outputs `phases` apart.
    pub fn new(shifts: &[usize], phases: usize, count: usize, left: isize) -> Grid {
        let reach = shifts.iter().max().map_or(0, |shift| shift / phases) + count.next_multiple_of(LINE);
        let pitch = (reach.div_ceil(LINE) | 1) * LINE;
        let taps = shifts.iter().map(|shift| shift % phases * pitch + shift / phases).collect();
        Grid { phases, pitch, taps, left, reach }
    }

    /// Distance between channels.
    pub fn channel(&self) -> usize {
        self.phases * self.pitch
    }

    /// Where each tap of each of `channels` channels begins in what [`Grid::rows`] gives.
    pub fn starts(&self, length: usize, channels: usize) -> Vec<usize> {
        let pitch = if self.is_plain(length) { length } else { self.channel() };
        (0..channels).flat_map(|channel| self.taps.iter().map(move |tap| channel * pitch + tap)).collect()
    }

    /// The channels of `signal` as rows, in place or copied to `buffer`.
    pub fn rows<'a>(&self, signal: &'a [f32], length: usize, buffer: &'a mut Scratch<f32>) -> &'a [f32] {
        if self.is_plain(length) {
            return signal;
        }
        let [rows] = buffer.split([signal.len() / length * self.channel()]);
        self.copy(signal, length, rows);
        rows
    }

    /// Whether a signal with channels of `length` samples already looks as its copy would, so that
    /// whole vectors can be read from it in place.
    fn is_plain(&self, length: usize) -> bool {
        self.phases == 1
            && self.left == 0
            && self.taps.iter().all(|tap| *tap == 0)
            && length.is_multiple_of(LINE)
            // Channels an even number of lines apart would crowd a part of the cache.
            && !(length / LINE).is_multiple_of(2)
            && self.reach <= length
    }

    /// Copies the channels of `signal`, of `length` samples each, into `rows`.
    fn copy(&self, signal: &[f32], length: usize, rows: &mut [f32]) {
        for (signal, rows) in signal.chunks_exact(length).zip(rows.chunks_exact_mut(self.channel())) {
            for (phase, row) in rows.chunks_exact_mut(self.pitch).enumerate() {
                // Value `j` of the row is sample `j * phases + phase - left`.
                let first = self.left - phase as isize;
                let zeros = first.max(0).unsigned_abs().div_ceil(self.phases).min(row.len());
                let (before, row) = row.split_at_mut(zeros);
                before.fill(0.0);
                let start = ((zeros * self.phases) as isize - first).unsigned_abs().min(length);
                let count = (length - start).div_ceil(self.phases).min(row.len());
                let (inside, after) = row.split_at_mut(count);
                if self.phases == 1 {
                    copy(&signal[start..start + count], inside);
                } else if self.phases == 2 {
                    // Pairs of a fixed size become vector instructions, steps of a variable size do not.
                    let pairs = signal[start..].chunks_exact(2);
                    if let (Some(last), true) = (inside.get_mut(pairs.len()), pairs.remainder().len() == 1) {
                        *last = pairs.remainder()[0];
                    }
                    for (value, pair) in inside.iter_mut().zip(pairs) {
                        *value = pair[0];
                    }
                } else {
                    for (value, sample) in inside.iter_mut().zip(signal[start..].iter().step_by(self.phases)) {
                        *value = *sample;
                    }
                }
                after.fill(0.0);
            }
        }
    }
}

/// Copies line by line: a line is a few instructions, and rows are so short that a call would cost as much.
fn copy(from: &[f32], to: &mut [f32]) {
    let (lines, rest) = from.as_chunks::<LINE>();
    let (to_lines, to_rest) = to.as_chunks_mut::<LINE>();
    for (to, line) in to_lines.iter_mut().zip(lines) {
        *to = *line;
    }
    to_rest.copy_from_slice(rest);
}

/// One signal whose channels are those of several tensors, one tensor after the other.
pub(super) struct Joined<'a> {
    /// Values and channels of each tensor.
    parts: Vec<(&'a [f32], usize)>,
    length: usize,
}

impl<'a> Joined<'a> {
    /// The channels of `signals`, which agree in batch and length.
    pub fn new(signals: &'a [FlexTensor]) -> Joined<'a> {
        let parts = signals.iter().map(|signal| (values::<f32>(signal), signal.layout().shape()[1])).collect();
        Joined { parts, length: signals[0].layout().shape()[2] }
    }

    /// Values and channels of each tensor's part of a record.
    pub fn parts(&self, record: usize) -> impl Iterator<Item = (&'a [f32], usize)> {
        self.parts.iter().map(move |(values, channels)| {
            let size = channels * self.length;
            (&values[record * size..][..size], *channels)
        })
    }

    /// [`Grid::starts`] of all channels.
    pub fn starts(&self, grid: &Grid) -> Vec<usize> {
        grid.starts(self.length, self.parts.iter().map(|(_, channels)| channels).sum())
    }

    /// Rows of a record, in place or copied to `buffer`.
    pub fn rows<'b>(&self, grid: &Grid, record: usize, buffer: &'b mut Scratch<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        if let ([_], Some((values, _))) = (self.parts.as_slice(), self.parts(record).next()) {
            return grid.rows(values, self.length, buffer);
        }
        let pitch = if grid.is_plain(self.length) { self.length } else { grid.channel() };
        let channels: usize = self.parts.iter().map(|(_, channels)| channels).sum();
        let [rows] = buffer.split([channels * pitch]);
        let mut rest = &mut *rows;
        for (signal, channels) in self.parts(record) {
            let (part, after) = rest.split_at_mut(channels * pitch);
            if grid.is_plain(self.length) {
                part.copy_from_slice(signal);
            } else {
                grid.copy(signal, self.length, part);
            }
            rest = after;
        }
        rows
    }
}
