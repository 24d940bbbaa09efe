//! The folds that a deep check knows: it holds their keyframes against what the stream's events fold to.

use crate::log::{EventRef, Fold, MergeFold};

/// The folds whose keyframes a deep check can judge; [`MergeFold`] to begin with.
pub struct Folds(Vec<Box<dyn AnyFold>>);

impl Default for Folds {
    fn default() -> Self {
        Self(vec![Box::new(MergeFold)])
    }
}

impl std::fmt::Debug for Folds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|fold| fold.fold_name())).finish()
    }
}

impl Folds {
    /// Adds a fold of the host's.
    #[must_use]
    pub fn with<F: Fold + 'static>(mut self, fold: F) -> Self {
        self.0.push(Box::new(fold));
        self
    }

    /// The number of the fold with this name and fingerprint.
    pub(super) fn find(&self, name: &str, fingerprint: u64) -> Option<usize> {
        self.0.iter().position(|fold| fold.fold_name() == name && fold.fold_fingerprint() == fingerprint)
    }

    /// Begins to fold a stream with the fold of this number.
    pub(super) fn begin(&self, number: usize) -> Option<Box<dyn Folding + '_>> {
        self.0.get(number).map(|fold| fold.begin())
    }
}

/// A [`Fold`] whatever its state.
trait AnyFold {
    fn fold_name(&self) -> &str;
    fn fold_fingerprint(&self) -> u64;
    fn begin(&self) -> Box<dyn Folding + '_>;
}

/// A stream that is being folded.
pub(super) trait Folding {
    fn apply(&mut self, event: &EventRef<'_>);

    /// Whether the state so far is the one that a keyframe holds.
    fn is(&self, keyframe: &[u8]) -> bool;
}

struct Running<'a, F: Fold> {
    fold: &'a F,
    state: F::State,
}

impl<F: Fold> AnyFold for F {
    fn fold_name(&self) -> &str {
        self.name()
    }

    fn fold_fingerprint(&self) -> u64 {
        self.fingerprint()
    }

    fn begin(&self) -> Box<dyn Folding + '_> {
        Box::new(Running { fold: self, state: self.start() })
    }
}

impl<F: Fold> Folding for Running<'_, F> {
    fn apply(&mut self, event: &EventRef<'_>) {
        self.fold.apply(&mut self.state, event);
    }

    fn is(&self, keyframe: &[u8]) -> bool {
        let folded = self.fold.encode(&self.state);
        // The same state may be written in two ways, such as a map in no order: what it reads back as decides then.
        folded == keyframe || self.fold.decode(keyframe).is_some_and(|state| self.fold.encode(&state) == folded)
    }
}
