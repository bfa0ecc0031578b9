#define for_each_active_dev_scope(d, n, i, dev) YACFE_ITERATOR
