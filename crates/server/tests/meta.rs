//! The meta protocol, carried out: what memcached 1.6.45 answers, but for what is named as ours.

mod script;

use script::Script;

#[test]
fn stores_and_reads() {
    Script::new().run(
        "mn|                                      -> MN|
         mg a|                                    -> EN|
         mg a k O123 v|                           -> EN ka O123|
         mg a v q|mn|                             -> MN|
         ms a 3 F5 T100|xyz|                      -> HD|
         mg a|                                    -> HD|
         mg a v|                                  -> VA 3|xyz|
         mg a s v t f k q O77|                    -> VA 3 s3 t100 f5 ka O77|xyz|
         mg a c|mg a c|                           -> HD cC1|HD cC1|
         ms a 2 c k s O5|hi|                      -> HD cC2 ka s2 O5|
         mg a c f t|                              -> HD cC2 f0 t-1|
         ms a 2 q|ho|mg a v|                      -> VA 2|ho|
         get a|                                   -> VALUE a 0 2|ho|END|
         md a k O1|                               -> HD ka O1|
         md a q k|                                -> NF ka|
         ms a 0||mg a v s|                        -> HD|VA 0 s0||",
    );
}

#[test]
fn modes() {
    Script::new().run(
        "ms a 2 ME|hi|                            -> HD|
         ms a 2 q ME|ho|mn|                       -> NS|MN|
         ms b 2 MR|hi|                            -> NS|
         ms a 2 MR|ho|                            -> HD|
         ms b 2 MA|hi|                            -> NS|
         ms b 2 MA N100 s|hi|                     -> HD s2|
         ms b 2 MA s F9 T5|ho|                    -> HD s4|
         ms b 1 MP s|X|                           -> HD s5|
         mg b v t f|                              -> VA 5 t100 f0|Xhiho|
         ms b 1 MP C1|x|                          -> EX|
         ms c 1 MP N0 s|x|                        -> HD s1|
         ms a 1 MS|y|mg a v|                      -> HD|VA 1|y|",
    );
}

#[test]
fn cas_is_compared_and_overridden() {
    Script::new().run(
        "ms a 2 E50 c|hi|                         -> HD c50|
         mg a c v C50|                            -> HD c50|
         mg a c v C51|                            -> VA 2 c50|hi|
         ms a 2 C50 E60 c|ho|                     -> HD c60|
         ms a 2 C50 c s|ho|                       -> EX c0 s2|
         ms b 2 C50|ho|                           -> NF|
         ms b 2 MR C50|ho|                        -> NF|
         ms a 2 MR C60 E61|ho|                    -> HD|
         md a C60|                                -> EX|
         md a q C60|mn|                           -> EX|MN|
         md a C61|                                -> HD|
         ms n 1 E7|5|                             -> HD|
         ma n C7 E8 v c|                          -> VA 1 c8|6|
         ma n C7 k O1|                            -> EX kn O1|
         mg n v c|                                -> VA 1 c8|6|",
    );
}

#[test]
fn touches_and_creates() {
    let mut script = Script::new();
    script.run(
        "ms a 1 T30|x|                            -> HD|
         mg a t T100 v|                           -> VA 1 t30|x|
         mg a T50 t|                              -> HD t50|
         mg a t|                                  -> HD t50|
         mg a T0 t|                               -> HD t-1|
         mg a T-1 v t|                            -> VA 1 t0|x|
         mg a t|                                  -> EN|
         mg a T10|                                -> EN|
         mg v N30 t v|                            -> VA 0 t30 W||
         mg v N30 t v|                            -> VA 0 t30 Z||
         mg v t v|                                -> VA 0 t30 Z||
         ms v 2 T60|hi|mg v N30 t v|              -> HD|VA 2 t60|hi|
         md v|mg v N30 s k c f h l t|             -> HD|HD s0 kv cC1 f0 h0 l0 t30 W|
         mg v s k c|                              -> HD s0 kv cC1 Z|
         mg w N-1 t|mg w|                         -> HD t0 W|EN|
         mg w q N30|                              -> HD W|",
    );
    script.advance(31);
    script.run("mg v v| -> EN|");
}

#[test]
fn one_may_replace_what_is_about_to_expire() {
    let mut script = Script::new();
    script.run(
        "ms a 1 T30|x|                            -> HD|
         mg a R20 t|                              -> HD t30|
         mg a R30 t|                              -> HD t30|
         mg a R60 t v|                            -> VA 1 t30 W|x|
         mg a R60 t v|                            -> VA 1 t30 Z|x|
         mg a R0|                                 -> HD Z|
         ms a 1 T30|y|mg a R30|                   -> HD|HD|
         ms b 1|x|mg b R60 t|                     -> HD|HD t-1|",
    );
    script.advance(5);
    script.run("mg a R30 t| -> HD t25 W|\nmg a R30 t| -> HD t25 Z|");
}

#[test]
fn stale_items_are_served_and_replaced_once() {
    Script::new().run(
        "ms a 2 T100 F5 E10|hi|                   -> HD|
         md a I T30|                              -> HD|
         mg a s t v c f|                          -> VA 2 s2 t30 cC1 f5 X W|hi|
         mg a t v c|                              -> VA 2 t30 cC1 Z X|hi|
         ms a 2 T50|ho|mg a v t|                  -> HD|VA 2 t50|ho|
         ms a 2 E60|ho|                           -> HD|
         ms a 2 C40 I|st|mg a v t|                -> HD|VA 2 t-1 X W|st|
         mg a|                                    -> HD Z X|
         ms a 2|ok|mg a v|                        -> HD|VA 2|ok|
         ms b 2 I|hi|mg b v|                      -> HD|VA 2|hi|
         md nope I|                               -> NF|
         md b I q|mn|                             -> MN|
         md b I C1|                               -> EX|",
    );
}

#[test]
fn what_is_emptied_stays() {
    Script::new().run(
        "ms a 2 T100 F5 E10|hi|                   -> HD|
         md a x|                                  -> HD|
         mg a s v t f c|                          -> VA 0 s0 t-1 f0 c10||
         md a I x T10 E99|                        -> HD|
         mg a s v t f c|                          -> VA 0 s0 t10 f0 c99 X W||
         md nope x|                               -> NF|",
    );
}

#[test]
fn computes() {
    let nan = "CLIENT_ERROR cannot increment or decrement non-numeric value|";
    let mut script = Script::new();
    script.run(
        "ma n|                                    -> NF|
         ma n q k O1|                             -> NF kn O1|
         ma n N100 J13 v t|                       -> VA 2 t100|13|
         ma n v t|                                -> VA 2 t100|14|
         ma n D5 v k|                             -> VA 2 kn|19|
         ma n MD D100 v|                          -> VA 1|0|
         ma n M- v|                               -> VA 1|0|
         ma n M+ D2 v|                            -> VA 1|2|
         ma n MI|                                 -> HD|
         mg n v|                                  -> VA 2|3 |
         ma n q v|mn|                             -> MN|
         ma n T5 v t|mg n t|                      -> VA 1 t5|5|HD t5|
         ma m N0|mg m v|                          -> HD|VA 1|0|
         ms n 20|18446744073709551615|ma n v|mg n s| -> HD|VA 1|0|HD s20|",
    );
    script.run(&format!("ms n 1|x|ma n v|ma n q| -> HD|{nan}{nan}"));
}

#[test]
fn keys_in_base64() {
    Script::new().run(
        "ms Zm9v 2 b k|hi|                        -> HD kZm9v b|
         mg foo v k|                              -> VA 2 kZm9v b|hi|
         mg Zm9v b v k|                           -> VA 2 kZm9v b|hi|
         get foo|                                 -> VALUE foo 0 2|hi|END|
         ma Zm9vYg== b N0 k|                      -> HD kZm9vYg== b|
         mg foob k|                               -> HD kZm9vYg== b|
         mg YmFy b N30 k|mg bar k|                -> HD kYmFy b W|HD kYmFy b Z|
         md Zm9v b k|                             -> HD kZm9v b|
         mg Zm9v b k|                             -> EN kZm9v b|
         mg foo k|                                -> EN kfoo|
         ms AAECAyAK 1 b|x|mg AAECAyAK b v k|     -> HD|VA 1 kAAECAyAK b|x|
         mg %%% b|                                -> CLIENT_ERROR error decoding key|",
    );
}

#[test]
fn tells_about_items() {
    let mut script = Script::new();
    script.run(
        "me a|                                    -> EN|
         ms a 3 T500|foo|mg a h l t|mg a h l t u| -> HD|HD h0 l0 t500|HD h1 l0 t500|",
    );
    // However coarse the store's memory of it, it is not ahead of the truth, and not far behind.
    for (seconds, idle) in [(59, 0..=59), (121, 60..=180)] {
        script.advance(seconds);
        let line = String::from_utf8(script.ask(b"mg a l u\r\n")).unwrap();
        let told = line.trim_end().strip_prefix("HD l").and_then(|told| told.parse::<u64>().ok());
        assert!(told.is_some_and(|told| idle.contains(&told)), "{line}");
    }
    script.run("mg a| -> HD|\nmg a l| -> HD l0|");
    let line = String::from_utf8(script.ask(b"ms b 3\r\nfoo\r\nme b\r\n")).unwrap();
    assert!(line.starts_with("HD\r\nME b exp=-1 la=0 cas="), "{line}");
    assert!(line.contains(" fetch=no cls=1 size="), "{line}");
    let line = String::from_utf8(script.ask(b"ms Zm9v 1 b T5\r\nx\r\nme Zm9v b\r\n")).unwrap();
    assert!(line.starts_with("HD\r\nME Zm9v exp=5 la=0 cas="), "{line}");
}

/// Every mode, as memcached has it.
#[test]
fn values_that_are_too_large_take_the_old_one_with_them() {
    let large = "y".repeat(2_000_000);
    let mut script = Script::new();
    for flags in ["", " q", " ME", " MA", " MR"] {
        script.run("ms a 1|x| -> HD|");
        script.run(&format!(
            "ms a 2000000{flags}|{large}|mg a| -> SERVER_ERROR object too large for cache|EN|"
        ));
    }
}

#[test]
fn large_values_come_piece_by_piece() {
    let value = "v".repeat(500_000);
    let mut script = Script::new();
    script.run(&format!("ms a 500000 T60 F7 E9 c s k|{value}| -> HD c9 s500000 ka|"));
    script.run(&format!("mg a v t f c| -> VA 500000 t60 f7 c9|{value}|"));
    script.run(&format!("mg a v T100| -> VA 500000|{value}|"));
    script.run(&format!("ms a 500000 C8 s|{value}| -> EX s500000|"));
    script.run(&format!("ms a 500000 MA s|{value}| -> HD s1000000|"));
    let bad = "CLIENT_ERROR bad data chunk|CLIENT_ERROR bad command line format|";
    script.run(&format!("ms a 500000|{value}x|mn| -> {bad}MN|"));
}
