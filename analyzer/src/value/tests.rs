use super::*;

fn salt() -> Salt {
    Salt::new(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210)
}

/// The cell of a bind, and the count that was returned.
fn bind(oid: u32, binary: bool, bytes: &[u8]) -> (Option<BindCell>, usize) {
    let mut cell = None;
    let count = salt().bind(7, oid, binary, bytes, &mut |found| {
        assert!(cell.is_none(), "more than one cell");
        cell = Some(found);
    });
    (cell, count)
}

fn bind_hash(oid: u32, binary: bool, bytes: &[u8]) -> u32 {
    bind(oid, binary, bytes).0.map_or(0, |cell| cell.hash)
}

const UUID_BYTES: [u8; 16] = *b"\x6b\xa7\xb8\x10\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8";

/// Class of equality ("" = no canonical value), OID, binary, bytes; as result cells and as binds.
const CELLS: &[(&str, u32, bool, &[u8])] = &[
    ("5038", 21, true, &[0x13, 0xae]),
    ("5038", 23, true, &[0, 0, 0x13, 0xae]),
    ("5038", 20, true, &[0, 0, 0, 0, 0, 0, 0x13, 0xae]),
    ("5038", 26, true, &[0, 0, 0x13, 0xae]),
    ("5038", 21, false, b"5038"),
    ("5038", 23, false, b"5038"),
    ("5038", 20, false, b"5038"),
    ("5038", 26, false, b"5038"),
    ("5038", 25, false, b"5038"),
    ("5038", 25, true, b"5038"),
    ("5038", 1043, false, b"5038"),
    ("5038", 1042, false, b"5038      "),
    ("5038", 19, false, b"5038"),
    ("-1", 21, true, &[0xff, 0xff]),
    ("-1", 23, true, &[0xff; 4]),
    ("-1", 20, true, &[0xff; 8]),
    ("-1", 25, false, b"-1"),
    ("4294967295", 26, true, &[0xff; 4]),
    ("4294967295", 20, false, b"4294967295"),
    ("0", 23, true, &[0; 4]),
    ("0", 25, false, b"0"),
    ("min", 20, true, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
    ("min", 25, false, b"-9223372036854775808"),
    ("max", 20, false, b"9223372036854775807"),
    ("t:max+1", 25, false, b"9223372036854775808"),
    ("t:min-1", 25, false, b"-9223372036854775809"),
    ("t:20 digits", 1043, false, b"10000000000000000000"),
    ("t:007", 25, false, b"007"),
    ("t:+5", 25, false, b"+5"),
    ("t:-0", 25, false, b"-0"),
    ("t:-", 25, false, b"-"),
    ("t:5a", 25, false, b"5a"),
    ("t: 5", 25, false, b" 5"),
    ("uuid", 2950, true, &UUID_BYTES),
    ("uuid", 2950, false, b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("uuid", 2950, false, b"6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
    ("uuid", 25, false, b"6ba7b8109dad11d180b400c04fd430c8"),
    ("uuid", 1043, true, b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("uuid", 1042, false, b"6ba7b8109dad11d180b400c04fd430c8  "),
    ("t:misplaced dash", 25, false, b"6ba7b8109-dad-11d1-80b4-00c04fd430c8"),
    ("t:no hex", 25, false, b"6ba7b8109dad11d180b400c04fd430cg"),
    ("t:abc", 25, false, b"abc"),
    ("t:abc", 1043, true, b"abc"),
    ("t:abc", 1042, false, b"abc   "),
    ("t:abc", 1042, true, b"abc"),
    ("t:abc", 19, false, b"abc"),
    ("t:abc+blank", 25, false, b"abc "),
    ("t:ABC", 25, false, b"ABC"),
    ("t:latin1", 25, false, b"\xe4\xf6"),
    ("t:64", 25, false, &[b'x'; 64]),
    ("", 25, false, &[b'x'; 65]),
    ("", 25, false, b""),
    ("", 1042, false, b"    "),
    ("", 16, true, &[1]),
    ("", 701, true, &[0; 8]),
    ("", 1114, true, &[0; 8]),
    ("", 1700, true, &[0; 8]),
    ("", 17, true, &[1, 2, 3, 4]),
    ("", 23, true, &[0, 0, 1]),
    ("", 2950, true, &[0; 15]),
];

#[test]
fn equal_values_are_equal_in_every_type_and_format() {
    for (left_class, left_oid, left_binary, left) in CELLS {
        let hash = salt().cell(*left_oid, *left_binary, left);
        assert_eq!(hash == 0, left_class.is_empty(), "cell {left_oid} {left:?}");
        assert_eq!(bind_hash(*left_oid, *left_binary, left), hash, "bind {left_oid} {left:?}");
        for (right_class, right_oid, right_binary, right) in CELLS {
            let other = salt().cell(*right_oid, *right_binary, right);
            let equal = hash != 0 && hash == other;
            let wanted = left_class == right_class && !left_class.is_empty();
            assert_eq!(equal, wanted, "{left_oid} {left:?} / {right_oid} {right:?}");
        }
    }
}

#[test]
fn binds_of_unknown_type_are_read_by_form_and_length() {
    let rows: &[(u32, bool, &[u8], u32)] = &[
        (0, false, b"5038", salt().cell(23, false, b"5038")),
        (701, false, b"5038", salt().cell(23, false, b"5038")),
        (90_000, false, b"abc", salt().cell(25, false, b"abc")),
        (0, true, &[0x13, 0xae], salt().cell(23, false, b"5038")),
        (0, true, &[0, 0, 0x13, 0xae], salt().cell(23, false, b"5038")),
        (90_000, true, &[0, 0, 0, 0, 0, 0, 0x13, 0xae], salt().cell(23, false, b"5038")),
        (0, true, &UUID_BYTES, salt().cell(2950, true, &UUID_BYTES)),
        (0, true, &[1, 2, 3], 0),
        (0, false, b"", 0),
    ];
    for (oid, binary, bytes, wanted) in rows {
        assert_eq!(bind_hash(*oid, *binary, bytes), *wanted, "{oid} {bytes:?}");
    }
}

#[test]
fn result_cells_of_other_types_have_no_value() {
    for oid in [0, 16, 17, 18, 114, 700, 1082, 1114, 1700, 3802, 90_000] {
        assert_eq!(salt().cell(oid, false, b"5038"), 0, "{oid}");
        assert_eq!(salt().cell(oid, true, &[0, 0, 0, 1]), 0, "{oid}");
    }
}

fn binary_array(element: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(element.to_be_bytes());
    bytes.extend((elements.len() as u32).to_be_bytes());
    bytes.extend(1u32.to_be_bytes());
    for element in elements {
        bytes.extend(element.map_or(u32::MAX, |bytes| bytes.len() as u32).to_be_bytes());
        bytes.extend(element.unwrap_or_default());
    }
    bytes
}

#[test]
fn arrays_of_one_are_their_element_and_others_only_count() {
    let five = salt().cell(23, false, b"5");
    let word = salt().cell(25, false, b"a,b");
    let one = binary_array(23, &[Some(&[0, 0, 0, 5])]);
    let two = binary_array(23, &[Some(&[0, 0, 0, 5]), Some(&[0, 0, 0, 6])]);
    let null = binary_array(23, &[None]);
    let text = binary_array(25, &[Some(b"a,b")]);
    let rows: &[(u32, bool, &[u8], usize, u32)] = &[
        (1007, true, &one, 1, five),
        (1007, true, &two, 2, 0),
        (1007, true, &null, 1, 0),
        (1009, true, &text, 1, word),
        (1007, true, &[0; 12], 0, 0),
        (1007, false, b"{5}", 1, five),
        (1016, false, b"{5,6,7}", 3, 0),
        (1009, false, b"{\"a,b\"}", 1, word),
        (1009, false, b"{\"a,b\",c}", 2, 0),
        (1007, false, b"{NULL}", 1, 0),
        (1007, false, b"{}", 0, 0),
        (0, false, b"{5}", 1, five),
        (0, false, b"{5,6}", 2, 0),
        (
            2951,
            false,
            b"{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
            1,
            salt().cell(2950, true, &UUID_BYTES),
        ),
    ];
    for (oid, binary, bytes, count, hash) in rows {
        let (cell, counted) = bind(*oid, *binary, bytes);
        assert_eq!((counted, cell.map_or(0, |cell| cell.hash)), (*count, *hash), "{oid} {bytes:?}");
    }
}

#[test]
fn json_objects_are_no_arrays() {
    let (cell, count) = bind(0, false, br#"{"a": 1}"#);
    assert_eq!(count, 1);
    assert_eq!(cell.unwrap().hash, salt().cell(25, false, br#"{"a": 1}"#));
}

#[test]
fn broken_arrays_have_no_value() {
    let mut cut = binary_array(23, &[Some(&[0, 0, 0, 5])]);
    cut.truncate(cut.len() - 1);
    for bytes in [&cut[..], &[0; 3], &[0xff; 40]] {
        assert_eq!(bind(1007, true, bytes), (None, 0), "{bytes:?}");
    }
}

#[test]
fn the_class_tells_type_and_magnitude() {
    let rows: &[(&[u8], u8)] = &[
        (b"0", 64),
        (b"1", 64),
        (b"20", 64 + 4),
        (b"-20", 64 + 4),
        (b"100000", 64 + 16),
        (b"-9223372036854775808", 64 + 63),
        (b"6ba7b8109dad11d180b400c04fd430c8", 128),
        (b"abc", 192),
    ];
    for (bytes, class) in rows {
        let cell = bind(0, false, bytes).0.unwrap();
        assert_eq!((cell.class, cell.slot), (*class, 7), "{bytes:?}");
    }
}

#[test]
fn literals_are_binds_of_unknown_type() {
    let number = salt().literal_number(40_000, 5038);
    let string = salt().literal_string(40_000, b"5038").unwrap();
    assert_eq!(number, string);
    assert_eq!(number.hash, bind_hash(23, true, &[0, 0, 0x13, 0xae]));
    assert_eq!(salt().literal_string(1, b""), None);
}

#[test]
fn another_salt_gives_other_hashes() {
    let other = [Salt::new(1, 0xfedc_ba98_7654_3210), Salt::new(0x0123_4567_89ab_cdef, 1)];
    for other in other {
        assert_ne!(other.cell(23, false, b"5"), salt().cell(23, false, b"5"));
        assert_ne!(other.fold(0, Some(b"5")), salt().fold(0, Some(b"5")));
        assert_eq!(other.clone().cell(23, false, b"5"), other.cell(23, false, b"5"));
    }
}

#[test]
fn the_fold_tells_lengths_order_and_nulls_apart() {
    let fold = |binds: &[Option<&[u8]>]| binds.iter().fold(0, |acc, bind| salt().fold(acc, *bind));
    let lists: &[&[Option<&[u8]>]] = &[
        &[Some(b"a"), Some(b"bc")],
        &[Some(b"ab"), Some(b"c")],
        &[Some(b"bc"), Some(b"a")],
        &[Some(b"abc")],
        &[Some(b"abc"), None],
        &[None, Some(b"abc")],
        &[Some(b"abc"), Some(b"")],
        &[None],
        &[Some(b"")],
        &[],
    ];
    for (i, left) in lists.iter().enumerate() {
        for (j, right) in lists.iter().enumerate() {
            assert_eq!(fold(left) == fold(right), i == j, "{left:?} {right:?}");
        }
    }
}

#[test]
fn text_keys_are_stable_in_the_process_and_tell_texts_apart() {
    assert_eq!(text_key(b"SELECT 1"), text_key(b"SELECT 1"));
    assert_ne!(text_key(b"SELECT 1"), text_key(b"SELECT 2"));
    assert_ne!(text_key(b"").0, 0);
}

type Column = (u32, u32, &'static str);

fn chosen(columns: &[Column]) -> Vec<u16> {
    let shapes =
        columns.iter().enumerate().map(|(field, (table_oid, type_oid, label))| ColumnShape {
            field: field as u16,
            table_oid: *table_oid,
            attnum: field as i16 + 1,
            type_oid: *type_oid,
            label: label.as_bytes(),
        });
    select_columns(shapes).as_slice().iter().map(|column| column.field).collect()
}

#[test]
fn columns_are_ranked_and_kept_by_position() {
    let text = |label| (10, 25, label);
    let rows: &[(&str, Vec<Column>, &[u16])] = &[
        ("nothing key-like", vec![(10, 16, "flag"), (10, 1114, "at"), (10, 1700, "id")], &[]),
        ("few: all", vec![(10, 23, "id"), (10, 25, "name"), (0, 20, "count")], &[0, 1, 2]),
        (
            "ids beat ints, ints beat texts",
            [text("a"), text("b"), text("c"), (10, 23, "n"), (10, 20, "orderId")]
                .into_iter()
                .chain([(10, 2950, "shop_uuid"), (10, 23, "m"), (10, 23, "k"), (10, 25, "ext_id")])
                .collect(),
            &[0, 1, 3, 4, 5, 6, 7, 8],
        ),
        (
            "first of each table beats all",
            (0..8).map(|_| (10, 23, "id")).chain([(11, 25, "name"), (12, 25, "name")]).collect(),
            &[0, 1, 2, 3, 4, 5, 8, 9],
        ),
        (
            "expressions have no table",
            [(0, 25, "x"); 9].into_iter().collect(),
            &[0, 1, 2, 3, 4, 5, 6, 7],
        ),
        ("nine tables", (0..9).map(|t| (10 + t, 23, "id")).collect(), &[0, 1, 2, 3, 4, 5, 6, 7]),
    ];
    for (name, columns, wanted) in rows {
        assert_eq!(chosen(columns), *wanted, "{name}");
    }
}
