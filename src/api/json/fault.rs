/// How large the parts of a body may be; its length in bytes is limited where it is received.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How deep arrays and objects may lie in each other.
    pub depth: usize,
    /// Members of one object.
    pub members: usize,
    /// Items of one array.
    pub items: usize,
    /// Characters of one text.
    pub characters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, members: 200, items: 1_000, characters: 4_096 }
    }
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("not UTF-8")]
    Encoding,
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    #[error("not JSON")]
    Syntax,
    #[error("a member is there twice")]
    Duplicate,
    #[error("nested too deep")]
    TooDeep,
    #[error("an object has too many members")]
    TooManyMembers,
    #[error("an array has too many items")]
    TooManyItems,
    #[error("a text is too long")]
    TooLong,
    #[error("a text has characters that cannot be kept: controls, lone surrogates or changes of direction")]
    UnfitText,
    #[error("a number is out of range, or too large to be exact as it is written")]
    OutOfRange,
}

impl FaultKind {
    /// Whether the body is no JSON that we read at all (400), or is, with a value that will not do (422).
    pub fn is_malformed(self) -> bool {
        use FaultKind::*;
        matches!(self, Encoding | ByteOrderMark | Syntax | Duplicate | TooDeep)
    }
}

/// Why a body was not read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct JsonFault {
    pub kind: FaultKind,
    /// The value that is wrong, after RFC 6901; for the name of a member, the object it is in.
    pub pointer: String,
    /// About how many bytes had been read.
    pub offset: usize,
}

#[cfg(test)]
mod tests {
    use super::FaultKind::*;

    #[test]
    fn only_what_is_no_json_at_all_is_malformed() {
        let malformed = [Encoding, ByteOrderMark, Syntax, Duplicate, TooDeep];
        let invalid = [TooManyMembers, TooManyItems, TooLong, UnfitText, OutOfRange];
        assert!(malformed.iter().all(|kind| kind.is_malformed()));
        assert!(!invalid.iter().any(|kind| kind.is_malformed()));
    }
}
