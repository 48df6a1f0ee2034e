//! What a step asks of a connector, made up from what the database says at the moment it runs.

use std::sync::Arc;

use super::Engine;
use super::calls::Trouble;
use crate::access::seal::Context;
use crate::domain::Result;
use crate::model::Subtree;
use crate::model::catalog::servers::Server;
use crate::model::connector::{Connector, ResourceGoal, ServiceGoal, Target};
use crate::model::ids::{ResourceId, ServerId, ServiceId};
use crate::model::services::Access;
use crate::model::services::operations::{Action, Operation, OperationKind, Step};
use crate::model::services::resources::{Resource, ResourceLifecycle};
use crate::model::services::services::{Lifecycle, Service};
use crate::store;
use crate::store::Conn;

/// One call to a connector.
#[derive(Debug, Clone)]
pub enum Call {
    EnsureService(ServiceGoal),
    RemoveService(ServiceGoal),
    EnsureResource(ResourceGoal),
    RemoveResource(ResourceGoal),
    SetAccess(ServiceGoal, Vec<ResourceGoal>),
    Test,
}

impl Call {
    /// The access that the call brings about.
    pub fn access(&self) -> Access {
        match self {
            Call::EnsureService(goal) | Call::RemoveService(goal) | Call::SetAccess(goal, _) => goal.access,
            Call::EnsureResource(goal) | Call::RemoveResource(goal) => goal.service.access,
            Call::Test => Access::Full,
        }
    }
}

/// A call with all that it needs to go out.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub connector: Arc<dyn Connector>,
    pub target: Target,
    pub call: Call,
}

/// What a step comes down to.
#[derive(Debug)]
pub enum Plan {
    Call(Prepared),
    /// There is nothing on a server to change.
    Nothing,
    /// The call cannot even be made up.
    Trouble(Trouble),
}

struct Reader<'a> {
    engine: &'a Engine,
    conn: Conn,
}

/// What the step is to do.
pub async fn forward(engine: &Engine, operation: &Operation, step: &Step) -> Result<Plan> {
    let mut reader = Reader::open(engine).await?;
    match step.action {
        Action::EnsureService => reader.service(step, Call::EnsureService).await,
        Action::EnsureResource => reader.resource(operation, step, Call::EnsureResource).await,
        Action::RemoveResource => reader.resource(operation, step, Call::RemoveResource).await,
        Action::SetAccess => reader.access(step).await,
        Action::Test => reader.test(step).await,
        Action::FanOut => Ok(Plan::Nothing),
    }
}

/// What takes the step back; only what makes something has anything to take back.
pub async fn backward(engine: &Engine, operation: &Operation, step: &Step) -> Result<Plan> {
    let mut reader = Reader::open(engine).await?;
    match step.action {
        Action::EnsureService => reader.service(step, Call::RemoveService).await,
        Action::EnsureResource => reader.resource(operation, step, Call::RemoveResource).await,
        Action::RemoveResource | Action::SetAccess | Action::Test | Action::FanOut => Ok(Plan::Nothing),
    }
}

fn gone(what: &str) -> Plan {
    Plan::Trouble(Trouble::gone(what))
}

impl<'a> Reader<'a> {
    async fn open(engine: &'a Engine) -> Result<Self> {
        let conn = engine.parts().db.read(Subtree::everything()).await?;
        Ok(Self { engine, conn })
    }

    async fn found(&mut self, step: &Step) -> Result<Option<Service>> {
        match step.target_id.parse::<ServiceId>() {
            Ok(id) => Ok(store::services::services::find(&mut self.conn, id).await?),
            Err(_) => Ok(None),
        }
    }

    async fn service(&mut self, step: &Step, call: impl FnOnce(ServiceGoal) -> Call) -> Result<Plan> {
        match self.found(step).await? {
            Some(service) => self.prepared(service.server_id, call(service_goal(&service))).await,
            None => Ok(gone("service")),
        }
    }

    async fn resource(
        &mut self,
        operation: &Operation,
        step: &Step,
        call: impl FnOnce(ResourceGoal) -> Call,
    ) -> Result<Plan> {
        let Ok(id) = step.target_id.parse::<ResourceId>() else { return Ok(gone("resource")) };
        let found = store::services::resources::find(&mut self.conn, id).await?;
        let Some(resource) = found.filter(|found| found.lifecycle != ResourceLifecycle::Deleted) else {
            return Ok(gone("resource"));
        };
        let found = store::services::services::find(&mut self.conn, resource.service_id).await?;
        let Some(service) = found else { return Ok(gone("service")) };
        let mut goal = resource_goal(resource, service_goal(&service));
        if operation.kind == OperationKind::ResourceUpdate {
            goal.spec = operation.task.spec.clone().unwrap_or(goal.spec);
            goal.password_hash = operation.task.password_hash.clone().or(goal.password_hash);
        }
        self.prepared(service.server_id, call(goal)).await
    }

    async fn access(&mut self, step: &Step) -> Result<Plan> {
        let Some(service) = self.found(step).await? else { return Ok(Plan::Nothing) };
        if service.lifecycle != Lifecycle::Active {
            return Ok(Plan::Nothing);
        }
        let present = store::services::resources::present(&mut self.conn, service.id).await?;
        let goal = service_goal(&service);
        let resources = present.into_iter().map(|resource| resource_goal(resource, goal.clone())).collect();
        self.prepared(service.server_id, Call::SetAccess(goal, resources)).await
    }

    async fn test(&mut self, step: &Step) -> Result<Plan> {
        match step.target_id.parse::<ServerId>() {
            Ok(id) => self.prepared(id, Call::Test).await,
            Err(_) => Ok(gone("server")),
        }
    }

    async fn prepared(&mut self, server: ServerId, call: Call) -> Result<Plan> {
        let Some(server) = store::catalog::servers::find_any(&mut self.conn, server).await? else {
            return Ok(gone("server"));
        };
        let parts = self.engine.parts();
        let Some(connector) = (parts.connectors)(&server.connector) else {
            return Ok(Plan::Trouble(Trouble::no_connector(&server.connector)));
        };
        match target(self.engine, server) {
            Ok(target) => Ok(Plan::Call(Prepared { connector, target, call })),
            Err(trouble) => Ok(Plan::Trouble(trouble)),
        }
    }
}

fn target(engine: &Engine, server: Server) -> Result<Target, Trouble> {
    let credentials = match &server.credentials {
        None => None,
        Some(sealed) => {
            let (account_id, record_id) = (server.account_id.to_string(), server.id.to_string());
            let context = Context {
                table: "servers",
                column: "credentials",
                account_id: &account_id,
                record_id: &record_id,
            };
            let opened = engine.parts().sealer.open_text(&context, sealed);
            Some(opened.map_err(|error| Trouble::unreadable_credentials(&server.connector, error))?)
        }
    };
    Ok(Target { server_id: server.id, settings: server.settings.0, credentials })
}

fn service_goal(service: &Service) -> ServiceGoal {
    ServiceGoal {
        id: service.id,
        account_id: service.account_id,
        service_type: service.service_type,
        settings: service.settings.0.clone(),
        access: service.access(),
    }
}

fn resource_goal(resource: Resource, service: ServiceGoal) -> ResourceGoal {
    ResourceGoal { id: resource.id, service, spec: resource.spec.0, password_hash: resource.password_hash }
}
