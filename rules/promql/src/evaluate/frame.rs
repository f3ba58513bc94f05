//! Columns: one value per series and step, and which of them are there.
//!
//! A frame is a list of blocks, so that parts of a query made by different threads need not be
//! copied together. Within a block the values lie series by series, each dense over the steps.

use bellwether_model::label::LabelSet;

/// Series in a block made from a selector.
pub(crate) const BLOCK: usize = 256;

/// What a series is called.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) labels: LabelSet,
    /// The metric's name is taken off at the end of the query.
    pub(crate) drops_name: bool,
}

/// Some series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    steps: usize,
    pub(crate) names: Vec<Name>,
    values: Vec<f64>,
    present: Vec<u64>,
}

/// All series of a vector, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) steps: usize,
    pub(crate) blocks: Vec<Block>,
}

/// The values of one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Col<'a> {
    values: &'a [f64],
    present: &'a [u64],
}

/// The values of one series while they are made.
#[derive(Debug)]
pub(crate) struct ColMut<'a> {
    values: &'a mut [f64],
    present: &'a mut [u64],
}

fn words(steps: usize) -> usize {
    steps.div_ceil(64)
}

impl<'a> Col<'a> {
    /// The value at a step.
    pub(crate) fn get(self, step: usize) -> Option<f64> {
        self.has(step).then(|| self.values.get(step).copied()).flatten()
    }

    pub(crate) fn has(self, step: usize) -> bool {
        self.present.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1)
    }

    /// How many values there are.
    pub(crate) fn count(self) -> usize {
        self.present.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Steps and values, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, f64)> + 'a {
        let words = self.present.iter().zip(self.values.chunks(64)).enumerate();
        words.flat_map(|(w, (word, values))| {
            let word = *word;
            let inside = values.iter().enumerate().filter(move |(i, _)| word >> i & 1 == 1);
            inside.map(move |(i, value)| (w * 64 + i, *value))
        })
    }

    /// Calls `visit` with steps and values, in order; quicker than [`Col::iter`].
    pub(crate) fn each(self, mut visit: impl FnMut(usize, f64)) {
        for (w, (word, values)) in self.present.iter().zip(self.values.chunks(64)).enumerate() {
            let full = word.count_ones() as usize == values.len();
            for (i, value) in values.iter().enumerate() {
                if full || word >> i & 1 == 1 {
                    visit(w * 64 + i, *value);
                }
            }
        }
    }
}

impl ColMut<'_> {
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        if let (Some(slot), Some(word)) =
            (self.values.get_mut(step), self.present.get_mut(step / 64))
        {
            *slot = value;
            *word |= 1 << (step % 64);
        }
    }

    pub(crate) fn clear(&mut self, step: usize) {
        if let Some(word) = self.present.get_mut(step / 64) {
            *word &= !(1 << (step % 64));
        }
    }

    pub(crate) fn as_col(&self) -> Col<'_> {
        Col { values: self.values, present: self.present }
    }
}

impl Block {
    pub(crate) fn new(steps: usize, series: usize) -> Block {
        Block {
            steps,
            names: Vec::with_capacity(series),
            values: Vec::with_capacity(series.saturating_mul(steps)),
            present: Vec::with_capacity(series.saturating_mul(words(steps))),
        }
    }

    /// Adds a series whose values `make` sets; without any it is left out. Says whether it stays.
    pub(crate) fn push(&mut self, name: Name, make: impl FnOnce(&mut ColMut<'_>)) -> bool {
        let (at, word_at) = (self.values.len(), self.present.len());
        self.values.resize(at + self.steps, 0.0);
        self.present.resize(word_at + words(self.steps), 0);
        let (_, values) = self.values.split_at_mut(at);
        let (_, present) = self.present.split_at_mut(word_at);
        make(&mut ColMut { values, present: &mut *present });
        if present.iter().all(|word| *word == 0) {
            self.values.truncate(at);
            self.present.truncate(word_at);
            return false;
        }
        self.names.push(name);
        true
    }

    /// Adds a series with the values of another.
    pub(crate) fn push_copy(&mut self, name: Name, col: Col<'_>) {
        self.values.extend_from_slice(col.values);
        self.present.extend_from_slice(col.present);
        self.names.push(name);
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The values of a series, counted from 0.
    pub(crate) fn col(&self, i: usize) -> Col<'_> {
        let (steps, words) = (self.steps, words(self.steps));
        Col {
            values: self.values.get(i * steps..(i + 1) * steps).unwrap_or(&[]),
            present: self.present.get(i * words..(i + 1) * words).unwrap_or(&[]),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, Col<'_>)> {
        self.names.iter().enumerate().map(|(i, name)| (name, self.col(i)))
    }

    /// Changes every value; places without one are changed too, unseen.
    pub(crate) fn change(&mut self, change: impl Fn(f64) -> f64) {
        self.values.iter_mut().for_each(|value| *value = change(*value));
    }

    /// Changes every value, or takes it away; series left without values go.
    pub(crate) fn choose(&mut self, choose: impl Fn(usize, f64) -> Option<f64>) {
        let words = words(self.steps);
        let steps = self.steps.max(1);
        let cols = self.values.chunks_mut(steps).zip(self.present.chunks_mut(words.max(1)));
        for (values, present) in cols {
            let mut col = ColMut { values, present };
            for step in 0..steps {
                let Some(value) = col.as_col().get(step) else { continue };
                match choose(step, value) {
                    Some(new) => col.set(step, new),
                    None => col.clear(step),
                }
            }
        }
        self.drop_empty();
    }

    /// Takes series without values away.
    fn drop_empty(&mut self) {
        let has_values = |i: &usize| self.col(*i).count() > 0;
        let kept: Vec<usize> = (0..self.len()).filter(has_values).collect();
        if kept.len() == self.len() {
            return;
        }
        let mut block = Block::new(self.steps, kept.len());
        for i in kept {
            if let Some(name) = self.names.get(i) {
                block.push_copy(name.clone(), self.col(i));
            }
        }
        *self = block;
    }

    /// Marks all names to be taken off.
    pub(crate) fn drop_names(&mut self) {
        self.names.iter_mut().for_each(|name| name.drops_name = true);
    }

    /// Values and places for them.
    pub(crate) fn size(&self) -> usize {
        self.values.len()
    }
}

impl Frame {
    pub(crate) fn new(steps: usize) -> Frame {
        Frame { steps, blocks: Vec::new() }
    }

    pub(crate) fn of(steps: usize, block: Block) -> Frame {
        Frame { steps, blocks: vec![block] }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(Block::len).sum()
    }

    /// All series, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, Col<'_>)> {
        self.blocks.iter().flat_map(Block::iter)
    }

    pub(crate) fn size(&self) -> usize {
        self.blocks.iter().map(Block::size).sum()
    }
}
