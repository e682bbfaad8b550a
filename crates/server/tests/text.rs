//! The text protocol, carried out: what memcached 1.6.45 answers, but for what is named as ours.

mod script;

use script::Script;

#[test]
fn stores_and_reads() {
    Script::new().run(
        "get a|                                   -> END|
         set a 5 0 3|xyz|                         -> STORED|
         get a|                                   -> VALUE a 5 3|xyz|END|
         get b a c a|                             -> VALUE a 5 3|xyz|VALUE a 5 3|xyz|END|
         add a 0 0 1|1|                           -> NOT_STORED|
         add b 0 0 1|1|                           -> STORED|
         replace c 0 0 1|1|                       -> NOT_STORED|
         replace b 4294967295 0 0||               -> STORED|
         get b|                                   -> VALUE b 4294967295 0||END|
         append a 1 0 1|>|                        -> STORED|
         prepend a 2 0 1|<|                       -> STORED|
         get a|                                   -> VALUE a 5 5|<xyz>|END|
         append c 0 0 1|x|                        -> NOT_STORED|
         prepend c 0 0 1|x|                       -> NOT_STORED|
         delete a|                                -> DELETED|
         delete a|                                -> NOT_FOUND|
         delete b 0|                              -> DELETED|
         version|                                 -> VERSION 1.6.45|",
    );
}

#[test]
fn noreply_answers_nothing() {
    Script::new().run(
        "set a 0 0 1 noreply|1|                   ->
         add a 0 0 1 noreply|2|                   ->
         append a 0 0 1 noreply|2|                ->
         incr a 3 noreply|                        ->
         touch a 100 noreply|                     ->
         get a|                                   -> VALUE a 0 2|15|END|
         cas a 0 0 1 1 noreply|x|                 ->
         incr a x noreply|                        ->
         delete nope noreply|                     ->
         delete a noreply|                        ->
         verbosity 0 noreply|                     ->
         foo noreply|                             ->
         get a|                                   -> END|
         set a 0 0 1 noreply|1|flush_all noreply|get a| -> END|",
    );
}

#[test]
fn cas_compares() {
    Script::new().run(
        "cas a 0 0 1 1|x|                         -> NOT_FOUND|
         set a 0 0 1|x|                           -> STORED|
         gets a|                                  -> VALUE a 0 1 C1|x|END|
         cas a 0 0 1 0|y|                         -> EXISTS|
         touch a 100|                             -> TOUCHED|
         gats 100 a|                              -> VALUE a 0 1 C1|x|END|
         append a 0 0 1|y|                        -> STORED|
         gets a a|                                -> VALUE a 0 2 C2|xy|VALUE a 0 2 C2|xy|END|",
    );
    let mut script = Script::new();
    script.run("set a 0 0 1|x| -> STORED|");
    let gets = String::from_utf8(script.ask(b"gets a\r\n")).unwrap();
    let cas = gets.split([' ', '\r']).nth(4).unwrap().to_owned();
    script.run(&format!("cas a 7 0 1 {cas}|y| -> STORED|\ncas a 7 0 1 {cas}|z| -> EXISTS|"));
    script.run("get a| -> VALUE a 7 1|y|END|");
}

#[test]
fn computes() {
    let nan = "CLIENT_ERROR cannot increment or decrement non-numeric value|";
    let mut script = Script::new();
    script.run(
        "incr n 1|                                -> NOT_FOUND|
         decr n 1|                                -> NOT_FOUND|
         set n 7 0 2|10|                          -> STORED|
         decr n 1|get n|                          -> 9|VALUE n 7 2|9 |END|
         incr n 91|get n|                         -> 100|VALUE n 7 3|100|END|
         decr n 1000|get n|                       -> 0|VALUE n 7 3|0  |END|
         incr n 18446744073709551615|             -> 18446744073709551615|
         incr n 1|                                -> 0|
         set n 0 0 3|+12|incr n 1|                -> STORED|13|
         set n 0 0 4|0012|incr n 1|get n|         -> STORED|13|VALUE n 0 4|13  |END|",
    );
    for value in ["x", "-5", "12x", "", "18446744073709551616"] {
        script.run(&format!("set n 0 0 {}|{value}|incr n 1| -> STORED|{nan}", value.len()));
    }
}

#[test]
fn items_expire() {
    let mut script = Script::new();
    script.run(
        "set a 0 -1 1|x|get a|                    -> STORED|END|
         set a 0 2592001 1|x|get a|               -> STORED|END|
         set a 0 1800000100 1|x|                  -> STORED|
         set b 0 2592000 1|y|                     -> STORED|
         set c 0 100 1|z|                         -> STORED|
         mg a t|mg b t|mg c t|                    -> HD t100|HD t2592000|HD t100|
         touch b 50|                              -> TOUCHED|
         gat 0 c|                                 -> VALUE c 0 1|z|END|",
    );
    script.advance(49);
    script.run("get a b c| -> VALUE a 0 1|x|VALUE b 0 1|y|VALUE c 0 1|z|END|");
    script.advance(52);
    script.run(
        "get a b c|                               -> VALUE c 0 1|z|END|
         touch a 1|                               -> NOT_FOUND|
         gat -1 c|                                -> VALUE c 0 1|z|END|
         get c|                                   -> END|
         gat 10 c|                                -> END|",
    );
    // Beyond 2038, where memcached's 32 bits end: still a time to come.
    script.run("set a 0 4294967296 1|x|get a| -> STORED|VALUE a 0 1|x|END|");
}

/// As soon as the whole TTL has passed, and not long before.
#[test]
fn items_are_gone_when_their_time_is_over() {
    for seconds in [1, 2, 3, 10, 2_592_000] {
        let mut script = Script::new();
        script.run(&format!("set a 0 {seconds} 1|x|ms b 1 T{seconds}|x| -> STORED|HD|"));
        script.run("set c 0 0 1|x|ma n N0 q| -> STORED|");
        script.run(&format!(
            "touch c {seconds}|ma n T{seconds} q|mg v N{seconds} q| -> TOUCHED|HD W|"
        ));
        script.run(&format!("mg a t|mg b t| -> HD t{seconds}|HD t{seconds}|"));
        script.advance(seconds - 1);
        script.run("get a b c n v| -> VALUE a 0 1|x|VALUE b 0 1|x|VALUE c 0 1|x|VALUE n 0 1|1|VALUE v 0 0||END|");
        script.advance(1);
        script.run("get a b c n v| -> END|");
    }
    for seconds in [1, 2, 100] {
        let mut script = Script::new();
        script.run(&format!("set a 0 0 1|x|flush_all {seconds}| -> STORED|OK|"));
        script.advance(seconds - 1);
        script.run("get a| -> VALUE a 0 1|x|END|");
        script.advance(1);
        script.run("get a| -> END|");
    }
}

#[test]
fn flushes() {
    let mut script = Script::new();
    script.run(
        "set a 0 0 1|x|flush_all|get a|           -> STORED|OK|END|
         set a 0 0 1|x|get a|                     -> STORED|VALUE a 0 1|x|END|
         flush_all abc|                           -> CLIENT_ERROR invalid exptime argument|
         flush_all -1|get a|                      -> OK|END|
         set a 0 0 1|x|                           -> STORED|
         flush_all 10|get a|                      -> OK|VALUE a 0 1|x|END|",
    );
    script.advance(11);
    script.run("get a| -> END|\nset a 0 0 1|x|get a| -> STORED|VALUE a 0 1|x|END|");
    let mut script = Script::with(|settings| settings.allow_flush = false);
    script.run("set a 0 0 1|x| -> STORED|");
    script.run("flush_all| -> CLIENT_ERROR flush_all not allowed|");
    script.run("get a| -> VALUE a 0 1|x|END|");
}

#[test]
fn values_that_are_too_large_take_the_old_one_with_them() {
    let large = "y".repeat(2_000_000);
    let mut script = Script::new();
    for (request, reply, after) in [
        ("set", "SERVER_ERROR object too large for cache|", "END|"),
        ("add", "SERVER_ERROR object too large for cache|", "VALUE a 0 1|x|END|"),
        ("replace", "SERVER_ERROR object too large for cache|", "VALUE a 0 1|x|END|"),
        ("append", "SERVER_ERROR object too large for cache|", "VALUE a 0 1|x|END|"),
    ] {
        script.run("set a 0 0 1|x| -> STORED|");
        script.run(&format!("{request} a 0 0 2000000|{large}|get a| -> {reply}{after}"));
    }
    script.run(&format!("set a 0 0 2000000 noreply|{large}|version| -> VERSION 1.6.45|"));
}

#[test]
fn what_joins_an_item_is_measured_by_itself_too() {
    let mut script = Script::with(|settings| settings.max_item_bytes = 2000);
    let large = "y".repeat(2000);
    let reply = "SERVER_ERROR object too large for cache|";
    script.run(&format!("append a 0 0 2000|{large}| -> {reply}"));
    script.run(&format!("ms a 2000 MP|{large}| -> {reply}"));
    script.run("append a 0 0 1|y| -> NOT_STORED|\nset a 0 0 3|abc| -> STORED|");
    let most = "y".repeat(1990);
    script.run(&format!("append a 0 0 1990|{most}|append a 0 0 1990|{most}| -> STORED|{reply}"));
    script.run(&format!("get a| -> VALUE a 0 1993|abc{most}|END|"));
}

/// Values on both sides of what is read whole, copied, and taken piece by piece.
#[test]
fn values_of_any_size_come_back() {
    let mut script = Script::new();
    for len in [0, 1, 100, 4095, 4096, 4097, 32_700, 32_768, 65_536, 300_000, 1_000_000] {
        let value: Vec<u8> = (0..=255_u8).cycle().skip(len % 7).take(len).collect();
        let request = [format!("set k 9 0 {len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        assert_eq!(script.ask(&request), b"STORED\r\n", "{len}");
        let reply = [format!("VALUE k 9 {len}\r\n").as_bytes(), &value, b"\r\nEND\r\n"].concat();
        assert!(script.ask(b"get k\r\n") == reply, "{len}");
        assert!(script.ask(b"gat 0 k\r\n") == reply, "{len}");
    }
    let half = "h".repeat(400_000);
    script.run(&format!("set k 0 0 400000|{half}|append k 0 0 400000|{half}| -> STORED|STORED|"));
    let reply = format!("VALUE k 0 800000\r\n{half}{half}\r\nEND\r\n");
    assert!(script.ask(b"get k\r\n") == reply.as_bytes());
}

/// A line of many keys is answered in order, whatever has to be sent in between.
#[test]
fn many_keys_are_answered_in_order() {
    let mut script = Script::new();
    let mut expected = Vec::new();
    for number in 0..200 {
        let value = vec![b"abcdefg"[number % 7]; number * 60];
        let head = format!("set key{number} 0 0 {}\r\n", value.len());
        let request = [head.as_bytes(), &value, b"\r\n"].concat();
        assert_eq!(script.ask(&request), b"STORED\r\n");
        expected.extend_from_slice(format!("VALUE key{number} 0 {}\r\n", value.len()).as_bytes());
        expected.extend_from_slice(&value);
        expected.extend_from_slice(b"\r\n");
    }
    expected.extend_from_slice(b"END\r\n");
    let keys: String = (0..200).map(|number| format!(" key{number}  nope{number}")).collect();
    for name in ["get", "gat 0"] {
        let replies = script.ask(format!("{name}{keys}\r\nversion\r\n").as_bytes());
        assert!(replies == [&expected[..], b"VERSION 1.6.45\r\n"].concat(), "{name}");
    }
    let misses = " a".repeat(100_000);
    script.run(&format!("get{misses}|gat 0{misses}| -> END|END|"));
}

#[test]
fn administers() {
    Script::new().run(
        "verbosity|                               -> CLIENT_ERROR bad command line format|
         verbosity 1|                             -> OK|
         verbosity abc|                           -> CLIENT_ERROR bad command line format|
         shutdown|                                -> SERVER_ERROR: shutdown not enabled|
         refresh_certs|                           -> Error TLS not enabled|
         debugtime 10|                            -> ERROR|
         misbehave|                               -> ERROR|
         cache_memlimit|                          -> ERROR|
         cache_memlimit 5|                        -> MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m|
         cache_memlimit 64|                       -> MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust|
         cache_memlimit 16|cache_memlimit 32|     -> OK|OK|
         cache_memlimit 1000000001|               -> MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes|
         watch|                                   -> CLIENT_ERROR watch commands not allowed|
         lru_crawler crawl all|                   -> OK|
         slabs automove 1|                        -> OK|
         stats foo|                               -> ERROR|",
    );
    let mut script = Script::with(|settings| settings.debug_commands = true);
    script.run("set a 0 10 1|x|debugtime 11|get a| -> STORED|OK|END|");
    let mut script = Script::with(|settings| settings.allow_shutdown = true);
    script.run("shutdown now| -> CLIENT_ERROR invalid shutdown mode|");
    script.run("shutdown graceful|version| ->");
    assert!(script.is_closed());
}

#[test]
fn quits() {
    for request in ["version|quit|version|", "version|quit foo|get a|"] {
        let mut script = Script::new();
        script.run(&format!("{request} -> VERSION 1.6.45|"));
        assert!(script.is_closed());
    }
}

#[test]
fn without_cas_numbers_they_are_shown_as_nothing() {
    Script::with(|settings| settings.cas = false).run(
        "set a 0 0 1|x|gets a|                    -> STORED|VALUE a 0 1 0|x|END|
         mg a c|                                  -> HD c0|",
    );
}

#[test]
fn what_is_asked_in_one_batch_is_done_in_order() {
    let mut script = Script::new();
    let mut request = Vec::new();
    let mut expected = Vec::new();
    for number in 0..1000 {
        request.extend_from_slice(format!("set k 0 0 4\r\n{number:04}\r\nget k\r\n").as_bytes());
        expected.extend_from_slice(
            format!("STORED\r\nVALUE k 0 4\r\n{number:04}\r\nEND\r\n").as_bytes(),
        );
    }
    assert!(script.ask(&request) == expected);
}
