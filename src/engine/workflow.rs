//! What comes next in an operation, by the state of its steps alone: whoever takes it up, after whatever
//! crash, decides the same.

use crate::model::services::operations::{
    Operation, OperationKind, OperationStatus, Outcome, Step, StepStatus,
};

/// The code of an error that says that the name belongs to somebody else on the server.
pub const NAME_TAKEN: &str = "name_taken";

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Do(usize),
    Undo(usize),
    End,
}

/// The first step that is not done; or, once one has failed, the last that is not undone.
pub fn next(steps: &[Step]) -> Next {
    if !unwinding(steps) {
        let open = steps.iter().position(|step| step.status != StepStatus::Done);
        return open.map_or(Next::End, Next::Do);
    }
    steps.iter().rposition(to_be_undone).map_or(Next::End, Next::Undo)
}

/// Whether a step has failed for good, and those before it are being taken back.
pub fn unwinding(steps: &[Step]) -> bool {
    use StepStatus::*;
    steps.iter().any(|step| matches!(step.status, Failed | Undoing | Undone | UndoFailed))
}

/// What failed may be there by half, unless it failed because something else is there.
fn to_be_undone(step: &Step) -> bool {
    match step.status {
        StepStatus::Done | StepStatus::Undoing => true,
        StepStatus::Failed => step.error.as_ref().is_none_or(|error| error.code != NAME_TAKEN),
        StepStatus::Pending | StepStatus::Running | StepStatus::Undone | StepStatus::UndoFailed => false,
    }
}

/// Whether what the operation has made is taken back when it fails.
pub fn undoes(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::OrderProvision | OperationKind::ResourceCreate)
}

/// Ends the operation if nothing is left to do or to undo.
pub fn end_if_over(operation: &mut Operation) {
    if next(&operation.steps) != Next::End {
        return;
    }
    let left_over = operation.steps.iter().any(|step| step.status == StepStatus::UndoFailed);
    let (status, outcome) = match (unwinding(&operation.steps), left_over) {
        (false, _) => (OperationStatus::Succeeded, Outcome::Succeeded),
        (true, false) => (OperationStatus::Failed, Outcome::RolledBack),
        (true, true) => (OperationStatus::NeedsAttention, Outcome::LeftPartial),
    };
    operation.status = status;
    operation.outcome = Some(outcome);
    operation.retryable |= left_over;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::services::operations::{Action, OperationError};

    fn steps(statuses: &[StepStatus]) -> Vec<Step> {
        statuses
            .iter()
            .map(|status| Step { status: *status, ..Step::new(Action::EnsureResource, "x") })
            .collect()
    }

    #[test]
    fn steps_are_done_in_order_and_undone_in_reverse() {
        use StepStatus::*;
        assert_eq!(next(&steps(&[Done, Pending, Pending])), Next::Do(1));
        assert_eq!(next(&steps(&[Done, Done])), Next::End);
        assert_eq!(next(&steps(&[Done, Done, Failed])), Next::Undo(2));
        assert_eq!(next(&steps(&[Done, Done, Undone])), Next::Undo(1));
        assert_eq!(next(&steps(&[Done, Undoing, Undone])), Next::Undo(1));
        assert_eq!(next(&steps(&[Done, UndoFailed, Undone])), Next::Undo(0));
        assert_eq!(next(&steps(&[Undone, UndoFailed, Undone, Pending])), Next::End);
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_undone() {
        use StepStatus::*;
        let mut steps = steps(&[Done, Failed]);
        steps[1].error = Some(OperationError { code: NAME_TAKEN.into(), detail: String::new() });
        assert_eq!(next(&steps), Next::Undo(0));
    }
}
