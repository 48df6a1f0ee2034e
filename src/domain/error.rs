use crate::model::ids::OperationId;
use crate::model::quotas::{Remedy, Violation};

/// A part of what was asked that cannot be done as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The place in the body, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// A stable word.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl Fault {
    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// Why a use-case was refused. Each is the caller's to mend, but [`Error::Store`] and [`Error::Busy`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("There is no {0} here with this identifier.")]
    NotFound(&'static str),
    #[error("There is no account here with this identifier.")]
    AccountNotFound,
    #[error("Some of what was sent cannot be done as it is.")]
    Invalid(Vec<Fault>),
    #[error("{action} is not possible while it is {current}.")]
    State { current: String, action: &'static str, allowed: Vec<&'static str> },
    #[error(
        "It failed for a reason that a retry does not change: its `error` says which. Ask for it anew, mended."
    )]
    NotRetryable,
    #[error("Another operation is changing this. Follow it, then try again.")]
    OperationInProgress(OperationId),
    #[error("The quota does not suffice.")]
    QuotaExceeded { violations: Vec<Violation>, remedies: Vec<Remedy> },
    #[error("An object of this kind with this external_id exists and was made from other content.")]
    ExternalIdConflict { id: String },
    #[error("{kind} {name} exists already.")]
    NameTaken { kind: &'static str, name: String },
    #[error(
        "The preview is older than 15 minutes, of another credential, or of other objects than there are now. Preview it again."
    )]
    PreviewOutdated,
    #[error("The object has changed since it was read; `etag` is a tag of what it is now.")]
    PreconditionFailed { current: i64 },
    #[error("The plan cannot be ordered as asked: {0}")]
    PlanNotApplicable(String),
    #[error("The account is closed.")]
    AccountClosed,
    #[error(
        "There is something left in the account: {accounts} accounts below it that are open, {subscriptions} subscriptions that have not ended. Close and cancel these first."
    )]
    AccountNotEmpty { accounts: i64, subscriptions: i64 },
    #[error("The credential may not grant what it does not have: {0}")]
    ScopeEscalation(String),
    #[error("{0}")]
    EnvironmentMismatch(String),
    #[error("The key places and lifts no holds for this reason; it does for: {0}")]
    HoldClassDenied(String),
    #[error("{0}")]
    SpendCap(String),
    #[error("The connector cannot do this.")]
    NotImplementedByConnector,
    #[error("A hold forbids changes here.")]
    ChangesFrozen,
    #[error("Somebody else changed the same thing at the same moment. Try again.")]
    Busy,
    #[error("The database did not answer.")]
    Store(#[from] sqlx::Error),
}

impl Error {
    /// One fault of the body.
    pub fn invalid(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Error::Invalid(vec![Fault::at(pointer, code, detail)])
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
