use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tenantry::delivery::secrets::Place;
use tenantry::delivery::sign::Secret;
use tenantry::domain::Error;
use tenantry::domain::events::webhooks::{delete, rotate_secret};
use tenantry::model::events::events::EventType;
use tenantry::model::events::webhooks::WebhookEndpoint;
use tenantry::model::{Precondition, Subtree};
use tenantry::store::events::webhooks;

use crate::on_both_engines;
use crate::receiver::{Receiver, Request, status};
use crate::world::{World, until_true};

const HOUR: Duration = Duration::from_secs(3_600);

/// Rotates the endpoint's secret with an overlap of so many hours.
async fn rotate(
    world: &World,
    endpoint: &WebhookEndpoint,
    hours: u32,
) -> Result<(WebhookEndpoint, Secret), Error> {
    let place = Place::of(endpoint.account_id, endpoint.id);
    let secret = Secret::generate();
    let (sealed, pair) = (place.secret(&world.sealer, &secret.text()), place.pair(&world.sealer));
    let mut work = world.work().await;
    let rotated =
        rotate_secret(&mut work, endpoint.id, sealed, pair, HOUR * hours, &Precondition::NONE).await;
    match rotated {
        Ok(rotated) => {
            work.finish().await?;
            Ok((rotated, secret))
        }
        Err(error) => {
            work.tx.undo().await?;
            Err(error)
        }
    }
}

/// The delivery of one more event.
async fn delivered(world: &World, receiver: &Receiver) -> Request {
    let before = receiver.count();
    world.happen(&world.tenant, 1).await;
    until_true(async || receiver.count() > before).await;
    receiver.received().pop().unwrap()
}

fn signatures<'a>(request: &'a Request, version: &str) -> Vec<&'a str> {
    let all = request.headers["webhook-signature"].split(' ');
    all.filter_map(|one| one.split_once(','))
        .filter(|(of, _)| *of == version)
        .map(|(_, digits)| digits)
        .collect()
}

/// Whether one of the request's `v1a` signatures is right by the public key, as it was told.
fn is_signed_with_pair(request: &Request, public: &str) -> bool {
    let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
    let (id, at) = (request.id(), &request.headers["webhook-timestamp"]);
    let text = [id.as_bytes(), b".", at.as_bytes(), b".", &request.body].concat();
    let public = UnparsedPublicKey::new(&ED25519, public);
    let is_right = |digits: &&str| public.verify(&text, &STANDARD.decode(digits).unwrap()).is_ok();
    signatures(request, "v1a").iter().any(is_right)
}

on_both_engines! {
    /// WH-3
    async fn both_secrets_sign_until_the_overlap_is_over_and_then_the_new_one_alone(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, first) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let running = world.deliver(&[&receiver]);
        let signed = |request: &Request, secret: &Secret| request.is_signed_with(secret, world.clock.now().as_seconds());
        let before = delivered(world, &receiver).await;
        assert!(signed(&before, &first) && signatures(&before, "v1").len() == 1);
        let (rotated, second) = rotate(world, &endpoint, 24).await.unwrap();
        assert_eq!(rotated.old_secrets_until, Some(world.clock.now().plus(HOUR * 24)));
        world.clock.advance(HOUR * 24 - Duration::from_secs(1));
        let during = delivered(world, &receiver).await;
        assert!(signed(&during, &first) && signed(&during, &second) && signatures(&during, "v1").len() == 2);
        world.clock.advance(Duration::from_secs(1));
        let after = delivered(world, &receiver).await;
        running.stop().await;
        assert!(!signed(&after, &first) && signed(&after, &second) && signatures(&after, "v1").len() == 1);
        let told = world.feed().await.into_iter().filter(|event| event.event_type == EventType::WebhookEndpointSecretRotated);
        assert_eq!(told.count(), 1);
    }

    /// WH-3
    async fn there_are_five_old_secrets_at_most_and_without_an_overlap_all_end_at_once(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, first) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let mut secrets = vec![first];
        for hours in [168, 1, 168, 168, 168] {
            secrets.push(rotate(world, &endpoint, hours).await.unwrap().1);
        }
        assert!(matches!(rotate(world, &endpoint, 24).await, Err(Error::State { .. })));
        let running = world.deliver(&[&receiver]);
        let all = delivered(world, &receiver).await;
        let now = world.clock.now().as_seconds();
        assert!(signatures(&all, "v1").len() == 6 && secrets.iter().all(|secret| all.is_signed_with(secret, now)));
        // The second one ended, which makes room.
        world.clock.advance(HOUR);
        secrets.push(rotate(world, &endpoint, 24).await.unwrap().1);
        assert_eq!(signatures(&delivered(world, &receiver).await, "v1").len(), 6);
        let (rotated, last) = rotate(world, &endpoint, 0).await.unwrap();
        assert_eq!(rotated.old_secrets_until, None);
        let one = delivered(world, &receiver).await;
        let now = world.clock.now().as_seconds();
        assert!(one.is_signed_with(&last, now) && !secrets.iter().any(|secret| one.is_signed_with(secret, now)));
        running.stop().await;
        let mut conn = world.db().read(Subtree::everything()).await.unwrap();
        assert_eq!(webhooks::old_secrets(&mut conn, endpoint.id, world.clock.now()).await.unwrap(), []);
    }

    /// WH-3
    async fn of_rotations_at_the_same_moment_no_secret_that_was_told_is_lost(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (endpoint, first) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let rotations = futures_util::future::join_all((0..4).map(|_| rotate(world, &endpoint, 24))).await;
        let mut told = vec![first];
        for rotation in rotations {
            match rotation {
                Ok((_, secret)) => told.push(secret),
                Err(error) => assert!(matches!(error, Error::Busy), "{error:?}"),
            }
        }
        assert!(told.len() > 1);
        let running = world.deliver(&[&receiver]);
        let request = delivered(world, &receiver).await;
        running.stop().await;
        let now = world.clock.now().as_seconds();
        assert!(told.iter().all(|secret| request.is_signed_with(secret, now)));
        assert_eq!(signatures(&request, "v1").into_iter().collect::<BTreeSet<_>>().len(), told.len());
    }

    /// WH-1, WH-3
    async fn an_endpoint_that_asks_for_it_gets_signatures_that_its_public_key_checks(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (mut new, secret) = world.registration(&world.tenant, receiver.url("/"), vec![EventType::ResourceCreated]);
        new.signing = Some(Place::of(world.tenant.id, new.id).pair(&world.sealer));
        let endpoint = world.register(&world.tenant, new).await;
        let first = endpoint.public_key.clone().unwrap();
        let running = world.deliver(&[&receiver]);
        let request = delivered(world, &receiver).await;
        assert!(request.is_signed_with(&secret, world.clock.now().as_seconds()) && is_signed_with_pair(&request, &first));
        let altered = Request { body: b"{}".to_vec(), ..request };
        assert!(!is_signed_with_pair(&altered, &first));
        let second = rotate(world, &endpoint, 1).await.unwrap().0.public_key.unwrap();
        assert_ne!(first, second);
        let during = delivered(world, &receiver).await;
        assert!(is_signed_with_pair(&during, &first) && is_signed_with_pair(&during, &second));
        world.clock.advance(HOUR);
        let after = delivered(world, &receiver).await;
        running.stop().await;
        assert!(!is_signed_with_pair(&after, &first) && is_signed_with_pair(&after, &second));
    }

    async fn secrets_of_before_go_when_they_end_and_with_their_endpoint(world: &World) {
        let receiver = Receiver::start(|_, _| status(200)).await;
        let (one, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        let (other, _) = world.endpoint(&world.tenant, receiver.url("/")).await;
        rotate(world, &one, 1).await.unwrap();
        rotate(world, &one, 48).await.unwrap();
        rotate(world, &other, 48).await.unwrap();
        let kept = async || {
            let mut conn = world.db().read(Subtree::everything()).await.unwrap();
            let (kept,): (i64,) = conn.query("SELECT COUNT(*) AS kept FROM webhook_old_secrets").one().await.unwrap();
            kept
        };
        assert_eq!(kept().await, 3);
        world.clock.advance(HOUR);
        let delivery = tenantry::delivery::Delivery::new(world.parts(world.db().clone(), &[]));
        delivery.tidy().await;
        assert_eq!(kept().await, 2);
        let mut work = world.work().await;
        delete(&mut work, one.id, &Precondition::NONE).await.unwrap();
        work.finish().await.unwrap();
        assert_eq!(kept().await, 1);
    }
}
