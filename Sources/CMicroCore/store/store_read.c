#include "store/store.h"

#include <string.h>

mcore_status mcore_store_begin_read(mcore_store *store) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return status;
    if (store->is_reading || store->is_writing)
        return mcore__store_refuse(store, MCORE_EINVAL, "something was begun already");
    status = mcore__store_do(store, MCORE__SQL_BEGIN_READ);
    store->is_reading = status == MCORE_OK;
    return status;
}

void mcore_store_end_read(mcore_store *store) {
    if (store->lent) sqlite3_reset(store->lent);
    store->lent = NULL;
    if (!store->is_reading) return;
    store->is_reading = 0;
    /* Nothing was written, so there is nothing that could be lost. */
    mcore__store_do(store, MCORE__SQL_COMMIT);
}

/* Moves what `part` points at to the copy of the row. */
static void move(mcore_store *store, mcore_slice *part, size_t *at) {
    uint8_t *to = mcore__buffer_bytes(&store->copy) + *at;
    if (part->len > 0) memcpy(to, part->data, part->len);
    part->data = to;
    *at += part->len;
}

/* Lends the row that `statement` is at. A statement that is open would keep its state of the file,
 * and the log from being written back: so outside of begin_read the row is copied. */
static mcore_status lend(mcore_store *store, sqlite3_stmt *statement, mcore_slice *key,
                         mcore_store_record *record) {
    if (store->is_reading || store->is_writing) {
        store->lent = statement;
        return MCORE_OK;
    }
    mcore_slice none = {NULL, 0};
    if (!key) key = &none;
    mcore__buffer_reset(&store->copy, 64 << 10);
    size_t len = key->len, at = 0;
    if (record) len += record->content_type.len + record->metadata.len + record->value.len;
    mcore_status status = mcore__buffer_reserve(&store->copy, len);
    if (status == MCORE_OK) {
        move(store, key, &at);
        if (record) {
            move(store, &record->content_type, &at);
            move(store, &record->metadata, &at);
            move(store, &record->value, &at);
        }
    }
    sqlite3_reset(statement);
    return status == MCORE_OK ? MCORE_OK : mcore__store_refuse(store, status, "out of memory");
}

mcore_status mcore_store_get(mcore_store *store, mcore_slice key, int64_t now,
                             mcore_store_record *out_record) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_GET, &status);
    if (!row) return status;
    mcore__bind_text(row, 1, key);
    status = mcore__store_step(store, row);
    if (status == MCORE_OK) {
        *out_record = (mcore_store_record){
            .version = (uint64_t)sqlite3_column_int64(row, 0),
            .expiry_ms = mcore__column_expiry(row, 1),
            .content_type = mcore__column_bytes(row, 3),
            .metadata = mcore__column_bytes(row, 4),
            .value = mcore__column_bytes(row, 5),
        };
        if (sqlite3_column_int64(row, 2) !=
            mcore__store_checksum(out_record->version, key, out_record))
            status = mcore__store_refuse(store, MCORE_ECORRUPT, "a record is damaged");
        else if (out_record->expiry_ms <= now)
            status = MCORE_ENOENT;
        else
            return lend(store, row, NULL, out_record);
    }
    sqlite3_reset(row);
    return status;
}

static int begins_with(mcore_slice text, mcore_slice prefix) {
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

static int ends_with(mcore_slice text, mcore_slice suffix) {
    return text.len >= suffix.len &&
           (suffix.len == 0 || memcmp((const uint8_t *)text.data + text.len - suffix.len,
                                      suffix.data, suffix.len) == 0);
}

static int compare(mcore_slice a, mcore_slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

mcore_status mcore_store_next_key(mcore_store *store, mcore_slice prefix, mcore_slice suffix,
                                  mcore_slice after, uint32_t inclusive, int64_t now,
                                  uint32_t *inout_budget, uint32_t *out_found,
                                  mcore_slice *out_key) {
    mcore_status status = mcore__store_enter(store);
    *out_found = 0;
    if (status != MCORE_OK) return status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_KEYS, &status);
    if (!row) return status;
    *out_key = after;
    mcore__bind_text(row, 1, compare(after, prefix) < 0 ? prefix : after);
    while (*inout_budget > 0 && (status = mcore__store_step(store, row)) == MCORE_OK) {
        mcore_slice key = mcore__column_bytes(row, 0);
        if (!begins_with(key, prefix)) {
            status = MCORE_ENOENT;
            break;
        }
        if (!inclusive && compare(key, after) == 0) continue;
        if (compare(key, after) < 0) {
            status = mcore__store_refuse(store, MCORE_ECORRUPT, "keys are out of order");
            break;
        }
        *out_key = key;
        *inout_budget -= 1;
        *out_found = ends_with(key, suffix) && mcore__column_expiry(row, 1) > now;
        if (*out_found || *inout_budget == 0) return lend(store, row, out_key, NULL);
    }
    sqlite3_reset(row);
    return status;
}

mcore_status mcore_store_next_change(mcore_store *store, uint64_t position, mcore_slice prefix,
                                     mcore_store_change *out_change) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return status;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_CHANGES, &status);
    if (!row) return status;
    *out_change = (mcore_store_change){.position = position};
    sqlite3_bind_int64(row, 1, position > INT64_MAX ? INT64_MAX : (int64_t)position);
    while ((status = mcore__store_step(store, row)) == MCORE_OK) {
        uint64_t at = (uint64_t)sqlite3_column_int64(row, 0);
        if (at <= out_change->position) {
            status = mcore__store_refuse(store, MCORE_ECORRUPT, "the log is out of order");
            break;
        }
        *out_change = (mcore_store_change){
            .position = at,
            .revision = at >> MCORE__POSITION_BITS,
            .kind = (uint32_t)sqlite3_column_int64(row, 1),
            .time_ms = sqlite3_column_int64(row, 2),
            .key = mcore__column_bytes(row, 3),
            .record = {.version = at >> MCORE__POSITION_BITS,
                       .expiry_ms = mcore__column_expiry(row, 4),
                       .content_type = mcore__column_bytes(row, 6),
                       .metadata = mcore__column_bytes(row, 7),
                       .value = mcore__column_bytes(row, 8)},
        };
        if (!begins_with(out_change->key, prefix)) continue;
        if (sqlite3_column_int64(row, 5) == mcore__store_change_checksum(out_change))
            return lend(store, row, &out_change->key, &out_change->record);
        status = mcore__store_refuse(store, MCORE_ECORRUPT, "a change in the log is damaged");
        break;
    }
    sqlite3_reset(row);
    *out_change = (mcore_store_change){.position = out_change->position};
    return status;
}

mcore_status mcore_store_position_of(mcore_store *store, uint64_t revision,
                                     uint64_t *out_position) {
    mcore_status status = mcore__store_enter(store);
    if (status != MCORE_OK) return status;
    mcore__store_facts facts = store->facts;
    char boot[MCORE__BOOT_MAX];
    size_t len;
    if (!store->is_writing) status = mcore__store_read_facts(store, &facts, boot, &len);
    if (status != MCORE_OK) return status;
    if (revision <= facts.forgotten_revision && facts.forgotten_revision > 0) return MCORE_ENOENT;
    *out_position = facts.position;
    if (revision > facts.revision) return MCORE_OK;
    sqlite3_stmt *row = mcore__store_statement(store, MCORE__SQL_BEFORE, &status);
    if (!row) return status;
    sqlite3_bind_int64(row, 1, (int64_t)(revision << MCORE__POSITION_BITS));
    status = mcore__store_step(store, row);
    if (status == MCORE_OK) *out_position = (uint64_t)sqlite3_column_int64(row, 0);
    if (status == MCORE_ENOENT) *out_position = facts.forgotten_position;
    sqlite3_reset(row);
    return status == MCORE_ENOENT ? MCORE_OK : status;
}
