//! Keys of one environment on what is of the other (KEY-11). The two stand in different parts of the tree, so that
//! nothing is found there; who has the same place on the other side is told why.

use actix_web::{HttpMessage, HttpRequest, web};

use super::problem::{Code, Problem};
use super::state::State;
use crate::model::accounts::accounts::Environment;
use crate::model::{Path, Subtree};
use crate::store::accounts::keys::Credential;
use crate::store::places::place;

/// What a request's body names, noted as it is read.
struct Named(Vec<String>);

/// From where a request's credential reaches, noted as it is known.
struct Reach(Path, Environment);

/// Notes from where the credential reaches, for [`explained`].
pub fn reaches(request: &HttpRequest, from: &Path, environment: Environment) {
    request.extensions_mut().insert(Reach(from.clone(), environment));
}

/// Notes whom a body names, for [`explained`].
pub fn note(request: &HttpRequest, body: &serde_json::Value) {
    let named = ["account_id", "parent_id"].iter().filter_map(|member| body[*member].as_str());
    let named: Vec<_> = named.map(str::to_owned).collect();
    if !named.is_empty() {
        request.extensions_mut().insert(Named(named));
    }
}

/// Refuses a key that is not in its account's environment.
pub fn check(credential: &Credential) -> Result<(), Problem> {
    match credential.key.environment == credential.account_environment {
        true => Ok(()),
        false => Err(mismatch(credential.key.environment)),
    }
}

fn mismatch(of: Environment) -> Problem {
    let detail = match of {
        Environment::Test => "The key is a test key, which is for test accounts only.",
        Environment::Live => "The key is a live key; a test account is reached with its own keys.",
    };
    Problem::new(Code::EnvironmentMismatch, detail)
}

/// The refusal as it is told: what was not found because it is on the other side is in the other environment.
pub async fn explained(request: &HttpRequest, problem: Problem) -> Problem {
    if !matches!(problem.code, Code::NotFound | Code::AccountNotFound) {
        return problem;
    }
    let Some(state) = request.app_data::<web::Data<State>>() else { return problem };
    let Some(Reach(from, environment)) = request.extensions_mut().remove::<Reach>() else { return problem };
    let header = request.headers().get("tenantry-account").and_then(|named| named.to_str().ok());
    let mut named: Vec<String> =
        request.match_info().get("id").into_iter().chain(header).map(str::to_owned).collect();
    named.extend(request.extensions_mut().remove::<Named>().into_iter().flat_map(|named| named.0));
    let subtree = if from.is_beside() { Subtree::everything() } else { Subtree::of(&from.beside()) };
    let Ok(mut conn) = state.db.read(subtree).await else { return problem };
    for id in named {
        if let Ok(Some(place)) = place(&mut conn, &id).await
            && from.faces(&place)
        {
            return mismatch(environment);
        }
    }
    problem
}
