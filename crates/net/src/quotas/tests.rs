use super::*;

fn from(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("an address"), 1)
}

#[tokio::test]
async fn s13_each_address_has_its_limit_and_leaving_makes_room() {
    let overrides = BTreeMap::from([("10.0.0.9".parse().expect("an address"), 3)]);
    let quotas = ConnectionQuotas::new(QuotaLimits {
        connections_per_ip_max: 1,
        per_ip_overrides: overrides,
        ..QuotaLimits::default()
    });
    let first = quotas.admit(from("10.0.0.1")).await.expect("the first of its address");
    assert!(quotas.admit(from("10.0.0.1")).await.is_none());
    assert!(quotas.admit(from("::ffff:10.0.0.1")).await.is_none(), "the same address written as IPv6");
    let other = quotas.admit(from("10.0.0.2")).await;
    assert!(other.is_some());
    drop(first);
    assert!(quotas.admit(from("10.0.0.1")).await.is_some());
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(quotas.admit(from("10.0.0.9")).await.expect("within the override"));
    }
    assert!(quotas.admit(from("10.0.0.9")).await.is_none());
}

#[tokio::test]
async fn s13_a_full_node_lets_a_connection_wait_until_one_leaves() {
    let quotas = ConnectionQuotas::new(QuotaLimits { connections_max: 1, ..QuotaLimits::default() });
    let first = quotas.admit(from("10.0.0.1")).await.expect("room");
    let mut second = Box::pin(quotas.admit(from("10.0.0.2")));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
    drop(first);
    assert!(second.await.is_some());
    assert_eq!(quotas.total(), 0);
}
