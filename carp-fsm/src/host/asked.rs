//! What the adapter was last asked to make true.

/// One byte: whether it was asked to own, and whether it is to be asked for that again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// Not asked yet.
    Nothing,
    Disown,
    Own,
    /// It could not take the addresses off.
    DisownAgain,
    /// The addresses changed, or somebody else took them off.
    OwnAgain,
}

impl Asked {
    pub(crate) const fn is_owner(self) -> bool {
        matches!(self, Self::Own | Self::OwnAgain)
    }

    /// The same has to be asked for once more.
    pub(crate) fn again(&mut self) {
        *self = match self {
            Self::Nothing => Self::Nothing,
            Self::Disown | Self::DisownAgain => Self::DisownAgain,
            Self::Own | Self::OwnAgain => Self::OwnAgain,
        };
    }

    /// Asks for this; false if that is true already.
    pub(crate) fn ask(&mut self, owner: bool) -> bool {
        let wanted = if owner { Self::Own } else { Self::Disown };
        core::mem::replace(self, wanted) != wanted
    }
}
