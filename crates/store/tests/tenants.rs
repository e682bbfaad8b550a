//! Tenants: their keys are their own, and so is the memory they are guaranteed.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use common::{Checked, MIB, numbers, set, text};
use larder_store::{Commit, Limits, Mode, StoreError, Tenant};

fn fill(tenant: &Tenant, from: u64, count: u64) {
    for n in from..from + count {
        tenant.set(&n.to_be_bytes(), &[b'v'; 200], 0, None).unwrap();
    }
}

fn limits(floor_bytes: usize, ceiling_bytes: usize) -> Limits {
    Limits { floor_bytes, ceiling_bytes }
}

#[test]
fn the_same_key_is_another_item_for_each_tenant() {
    let store = Checked::new(MIB);
    let tenants: Vec<Tenant> = (0..20).map(|_| store.store.add_tenant(Limits::NONE)).collect();
    for (number, tenant) in tenants.iter().enumerate() {
        assert_eq!(text(tenant, "k"), None);
        set(tenant, "k", &number.to_string());
    }
    tenants[3].delete(b"k");
    tenants[4].flush();
    tenants[5].incr(b"k", 10).unwrap();
    for (number, tenant) in tenants.iter().enumerate() {
        let expected = match number {
            3 | 4 => None,
            5 => Some("15".to_owned()),
            _ => Some(number.to_string()),
        };
        assert_eq!(text(tenant, "k"), expected, "{number}");
        assert_eq!(tenant.len(), usize::from(number != 3 && number != 4));
        tenant.for_each(|item| assert_eq!(item.key(), b"k"));
    }
    assert_eq!(text(&store, "k"), None);
}

#[test]
fn a_batch_may_be_for_many_tenants() {
    let store = Checked::new(MIB);
    let tenants: Vec<Tenant> = (0..50).map(|_| store.store.add_tenant(Limits::NONE)).collect();
    for (number, tenant) in tenants.iter().enumerate().step_by(2) {
        set(tenant, "k", &number.to_string());
    }
    let lookups: Vec<(&Tenant, &[u8])> = tenants.iter().map(|tenant| (tenant, &b"k"[..])).collect();
    let mut count = 0;
    store.store.get_many(&lookups, |number, item| {
        assert_eq!(number, count);
        count += 1;
        let value = item.map(|item| item.value().to_vec());
        assert_eq!(value, (number % 2 == 0).then(|| number.to_string().into_bytes()));
    });
    assert_eq!(count, 50);
}

#[test]
fn a_tenant_at_its_ceiling_evicts_its_own() {
    let store = Checked::new(4 * MIB);
    fill(&store, 0, 2_000);
    let capped = store.store.add_tenant(limits(0, MIB / 2));
    for round in 0..10 {
        fill(&capped, round * 2_000, 2_000);
        let stats = capped.stats();
        assert!(stats.bytes <= MIB as u64 / 2 + 128 * 1024, "{stats:?}");
    }
    assert!(capped.stats().evictions > 10_000);
    assert_eq!((store.stats().evictions, store.len()), (0, 2_000));
}

#[test]
fn nothing_below_a_floor_is_taken_for_others() {
    let store = Checked::new(4 * MIB);
    let guaranteed = store.store.add_tenant(limits(MIB, usize::MAX));
    // 16 KiB segments of about 75 items: well below the floor, open segments included.
    fill(&guaranteed, 0, 3_000);
    assert!(guaranteed.stats().bytes < MIB as u64, "{:?}", guaranteed.stats());
    let greedy = store.store.add_tenant(Limits::NONE);
    for round in 0..10 {
        fill(&greedy, round * 5_000, 5_000);
        fill(&store, round * 5_000, 1_000);
    }
    assert_eq!((guaranteed.stats().evictions, guaranteed.len()), (0, 3_000));
    assert!(greedy.stats().evictions > 0);
}

#[test]
fn a_tenant_below_its_floor_gets_room_from_those_beyond_theirs() {
    let store = Checked::new(4 * MIB);
    let greedy = store.store.add_tenant(Limits::NONE);
    fill(&greedy, 0, 40_000);
    // Many with next to nothing: a look at a few tenants finds only those.
    let idle: Vec<Tenant> = (0..40).map(|_| store.store.add_tenant(Limits::NONE)).collect();
    let late = store.store.add_tenant(limits(MIB, usize::MAX));
    fill(&late, 0, 3_000);
    assert_eq!((late.stats().evictions, late.len()), (0, 3_000), "{:?}", late.stats());
    drop(idle);
}

#[test]
fn limits_may_change_while_the_tenant_is_used() {
    let store = Checked::new(4 * MIB);
    let tenant = store.store.add_tenant(Limits::NONE);
    fill(&tenant, 0, 10_000);
    tenant.set_limits(limits(0, MIB / 2));
    fill(&tenant, 10_000, 10_000);
    assert!(tenant.stats().bytes <= MIB as u64 / 2 + 128 * 1024, "{:?}", tenant.stats());
    tenant.set_limits(Limits::NONE);
    fill(&tenant, 20_000, 10_000);
    assert!(tenant.len() > 9_000);
}

#[test]
fn nothing_is_left_of_a_removed_tenant() {
    let store = Checked::new(4 * MIB);
    let bytes = store.store.stats().bytes;
    for round in 0..10 {
        let tenant = store.store.add_tenant(Limits::NONE);
        // Enough for ghosts, which have memory of their own.
        fill(&tenant, 0, 40_000);
        store.store.remove_tenant(&tenant);
        assert!(tenant.is_empty());
        drop(tenant);
        store.maintain();
        store.store.validate().unwrap_or_else(|fault| panic!("round {round}: {fault}"));
    }
    assert!(store.store.stats().bytes < bytes + 512 * 1024, "{:?}", store.store.stats());
    fill(&store, 0, 10_000);
    assert_eq!(store.stats().evictions, 0);
}

#[test]
fn a_handle_of_a_removed_tenant_stores_nothing_and_does_no_harm() {
    let store = Checked::new(2 * MIB);
    let tenant = store.store.add_tenant(Limits::NONE);
    fill(&tenant, 0, 5_000);
    let mut reservation = tenant.reserve(tenant.hashed(b"k"), 1, 0, None).unwrap();
    reservation.append(b"v");
    store.store.remove_tenant(&tenant);
    assert_eq!(tenant.get(&0_u64.to_be_bytes(), |_| ()), None);
    assert!(matches!(tenant.set(b"k", b"v", 0, None), Err(StoreError::NoRoom { .. })));
    assert!(matches!(
        tenant.reserve(tenant.hashed(b"k"), 1, 0, None),
        Err(StoreError::NoRoom { .. })
    ));
    let committed = reservation.commit(&Commit::new(Mode::Set));
    assert!(matches!(committed, Err(StoreError::NoRoom { .. })), "{committed:?}");
    tenant.flush();
    store.store.remove_tenant(&tenant);
    assert!(tenant.is_empty());
    tenant.for_each(|_| panic!("it was removed"));
    fill(&store, 0, 2_000);
    assert_eq!(store.len(), 2_000);
    drop(tenant);
    store.maintain();
    store.store.validate().unwrap();
}

#[test]
fn many_tenants_share_a_small_store_without_mixing_their_items() {
    let store = Checked::new(2 * MIB);
    let tenants: Vec<Tenant> = (0..300).map(|_| store.store.add_tenant(Limits::NONE)).collect();
    let mut next = numbers(3);
    let mut refused = 0;
    for n in 0..20_000 {
        let number = usize::try_from(next() % 300).unwrap();
        let (key, tenant) = (format!("k{}", next() % 20), &tenants[number]);
        match next() % 4 {
            0 => {
                let value = format!("{number} {key} {n}");
                refused +=
                    u32::from(tenant.set(key.as_bytes(), value.as_bytes(), 0, None).is_err());
            }
            1 if n % 50 == 0 => tenant.flush(),
            _ => {
                let right =
                    text(tenant, &key).map(|text| text.starts_with(&format!("{number} {key} ")));
                assert_ne!(right, Some(false), "{number} {key}");
            }
        }
    }
    assert_eq!(refused, 0);
    let stats = store.store.stats();
    assert!(stats.hits > 100 && stats.evictions > 0, "{stats:?}");
}

/// What a provider sells by default: everybody's floor is his ceiling, and together they are the store.
#[test]
fn a_store_sold_out_refuses_nothing_and_everybody_keeps_his_share() {
    const TENANTS: usize = 16;
    let store = Checked::new(64 * MIB);
    let sold = limits(4 * MIB, 4 * MIB);
    let tenants: Vec<Tenant> = (0..TENANTS).map(|_| store.store.add_tenant(sold)).collect();
    // One after another fills his share three times over, and then all at once.
    for tenant in &tenants {
        fill(tenant, 0, 50_000);
    }
    for round in 0..30 {
        for tenant in &tenants {
            fill(tenant, 100_000 + round * 1_000, 1_000);
        }
    }
    for tenant in &tenants {
        let stats = tenant.stats();
        assert!(stats.bytes <= 4 * MIB as u64, "{stats:?}");
        assert!(stats.bytes * 100 >= 4 * MIB as u64 * 96, "{stats:?}");
    }
}

/// Idle memory is lent, and taken back from who has most of it as soon as its owner wants it.
#[test]
fn what_was_lent_is_taken_back_down_to_the_floor_and_not_beyond() {
    let store = Checked::new(32 * MIB);
    let [modest, greedy, owner] = [8, 4, 20].map(|floor| {
        let limits = limits(floor * MIB, usize::MAX);
        store.store.add_tenant(limits)
    });
    fill(&modest, 0, 25_000);
    let before = modest.stats();
    assert!(before.bytes < 8 * MIB as u64 && before.evictions == 0, "{before:?}");
    fill(&greedy, 0, 400_000);
    assert!(greedy.stats().bytes > 20 * MIB as u64, "{:?}", greedy.stats());
    for round in 0..20 {
        fill(&owner, round * 5_000, 5_000);
        fill(&greedy, 1_000_000 + round * 50_000, 50_000);
    }
    // He has got what he was promised, but for the percent that nobody gets.
    let [owner, greedy] = [owner.stats(), greedy.stats()];
    assert!(owner.bytes * 100 >= 20 * MIB as u64 * 95, "{owner:?}");
    assert!(
        greedy.bytes * 100 >= 4 * MIB as u64 * 95 && greedy.bytes < 6 * MIB as u64,
        "{greedy:?}"
    );
    let after = modest.stats();
    assert_eq!((after.items, after.evictions), (25_000, 0), "{after:?}");
}

/// One who is guaranteed more finds the one who has it, among thousands who have next to nothing.
#[test]
fn the_one_to_give_is_found_among_thousands() {
    let store = Checked::new(64 * MIB);
    let crowd: Vec<Tenant> =
        (0..300).map(|_| store.store.add_tenant(limits(64 * 1024, 2 * MIB))).collect();
    for tenant in &crowd {
        fill(tenant, 0, 1);
    }
    let empty: Vec<Tenant> = (0..5_000).map(|_| store.store.add_tenant(Limits::NONE)).collect();
    let rich = store.store.add_tenant(Limits::NONE);
    fill(&rich, 0, 300_000);
    let promised = store.store.add_tenant(limits(16 * MIB, 16 * MIB));
    fill(&promised, 0, 60_000);
    let stats = promised.stats();
    assert!(stats.evictions * 100 <= stats.items, "{stats:?}");
    for tenant in &crowd {
        assert_eq!((tenant.len(), tenant.stats().evictions), (1, 0));
    }
    drop(empty);
}
