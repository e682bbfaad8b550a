//! Rows: what is written is read, by this program and by others, and what is damaged is found out.

use proptest::prelude::*;

use super::*;

fn tallies() -> impl Strategy<Value = Tally> {
    let value = prop_oneof![4 => Just(0), 2 => 0..200_u64, 1 => 0..1_u64 << 40, 1 => any::<u64>()];
    let figures = prop::collection::vec(value, names().len());
    let buckets = prop::collection::vec((0..Latency::BUCKETS, 1..1_u64 << 30), 0..40);
    (figures, buckets).prop_map(|(figures, buckets)| {
        let mut tally = Tally::default();
        for (name, value) in names().iter().zip(figures) {
            *tally.figures.named_mut(name).unwrap() = value;
        }
        for (bucket, count) in buckets {
            tally.latency.add(bucket, count);
        }
        tally
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(tally in tallies()) {
        prop_assert_eq!(Tally::decode(&tally.encode(), names()), Some(tally));
    }

    #[test]
    fn a_program_with_other_figures_reads_those_it_knows(
        tally in tallies(),
        order in Just(names().to_vec()).prop_shuffle(),
        strange in 0..names().len(),
    ) {
        // Written by a program that has the figures in another order, one of them by another name.
        let mut moved = Tally { latency: tally.latency.clone(), ..Tally::default() };
        let mut theirs = order.clone();
        theirs[strange] = "of_another_time".into();
        for (ours, place) in names().iter().zip(0..) {
            let mut source = tally.figures;
            let value = *source.named_mut(&order[place]).unwrap();
            *moved.figures.named_mut(ours).unwrap() = value;
        }
        let mut expected = tally.clone();
        *expected.figures.named_mut(&order[strange]).unwrap() = 0;
        prop_assert_eq!(Tally::decode(&moved.encode(), &theirs), Some(expected));
    }

    #[test]
    fn noise_is_no_row_or_one_that_can_be_added_up(
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Some(tally) = Tally::decode(&noise, names()) {
            let mut sum = tally.clone();
            sum.add(&tally);
            sum.add(&tally);
            prop_assert!(sum.latency.total() >= tally.latency.total());
        }
    }

    #[test]
    fn a_row_that_is_cut_is_no_row(tally in tallies(), cut in any::<prop::sample::Index>()) {
        let row = tally.encode();
        prop_assert_eq!(Tally::decode(&row[..cut.index(row.len())], names()), None);
    }

    #[test]
    fn it_does_not_matter_in_which_groups_tallies_are_added(
        all in prop::collection::vec(tallies(), 1..20),
        groups in prop::collection::vec(1..6_usize, 20),
    ) {
        let sum = |tallies: &[Tally]| {
            let mut tallies = tallies.iter();
            let mut sum = tallies.next().cloned().unwrap_or_default();
            tallies.for_each(|tally| sum.add(tally));
            sum
        };
        let mut rest = &all[..];
        let mut grouped = Vec::new();
        for group in groups {
            let (some, more) = rest.split_at(group.min(rest.len()));
            if !some.is_empty() {
                grouped.push(sum(some));
            }
            rest = more;
        }
        prop_assert_eq!(sum(&grouped), sum(&all));
    }

    #[test]
    fn varints_are_read_as_written(value in any::<u64>(), after in any::<u8>()) {
        let mut row = Vec::new();
        put(&mut row, value);
        prop_assert!(row.len() <= 10);
        row.push(after);
        let mut rest = &row[..];
        prop_assert_eq!(take(&mut rest), Some(value));
        prop_assert_eq!(rest, [after]);
    }
}

#[test]
fn a_number_beyond_64_bits_is_none() {
    assert_eq!(take(&mut &[0xff; 9].iter().chain(&[0x02]).copied().collect::<Vec<_>>()[..]), None);
    assert_eq!(take(&mut &[0xff; 11][..]), None);
    assert_eq!(take(&mut &[0x80][..]), None);
    assert_eq!(take(&mut &[][..]), None);
}

#[test]
fn counts_do_not_go_back_while_the_node_runs() {
    let before = Figures { get_hits: 10, items: 5, ..Figures::default() };
    let now = Figures { get_hits: 4, get_misses: 2, items: 1, ..Figures::default() };
    let counted = counted(&now, &before);
    assert_eq!((counted.get_hits, counted.get_misses, counted.items), (0, 2, 1));
}

#[test]
fn a_row_of_a_busy_minute_is_small() {
    let mut tally = Tally::default();
    for name in ["get_hits", "get_misses", "sets", "evictions", "items"] {
        *tally.figures.named_mut(name).unwrap() = 50_000;
    }
    for name in ["bytes", "limit_bytes", "bytes_read", "bytes_written"] {
        *tally.figures.named_mut(name).unwrap() = 1 << 30;
    }
    for bucket in 40..60 {
        tally.latency.add(bucket, 5000);
    }
    let size = tally.encode().len();
    assert!(size <= 110, "{size}");
}
