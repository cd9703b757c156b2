# file: serialisers/src/layer.rs
# target: -p offspring-serialisers --test nulls
# test: nulls_stay_nulls
s/Self::new(rules, table, unit::is_unit::<T, _>(value))/Self::new(rules, table, size_of_val(value) <= size_of::<\&T>())/
