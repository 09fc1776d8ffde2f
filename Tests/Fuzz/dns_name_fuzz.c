/* Names of DNS as text: what is read is written as the same name, and its parts are parts of it. */
#include "fuzz.h"

#include "frame/dns.h"

#include <string.h>

static void check_parts(const mcore__dns_name *name) {
    mcore__dns_name built = {.len = 0}, lower = *name, whole = {.len = 0};
    mcore_slice label;
    uint32_t at = 0, count = 0;
    while (mcore__dns_name_next_label(name, &at, &label)) {
        mcore__dns_name parent = mcore__dns_name_parent(name, count++);
        CHECK(label.len > 0 && label.len <= MCORE__DNS_LABEL_BYTES_MAX);
        CHECK(mcore__dns_name_ends_with(name, &parent));
        CHECK(mcore__dns_name_append_label(&built, label) == MCORE_OK);
    }
    CHECK(count == mcore__dns_name_label_count(name));
    CHECK(mcore__dns_name_identical(&built, name));
    CHECK(mcore__dns_name_append(&whole, name) == MCORE_OK);
    CHECK(mcore__dns_name_identical(&whole, name));
    mcore__dns_name_lower(&lower);
    CHECK(mcore__dns_name_equal(&lower, name));
    /* Twice the name, if it fits. */
    mcore_status status = mcore__dns_name_append(&whole, name);
    CHECK(status == MCORE_OK ? mcore__dns_name_label_count(&whole) == 2 * count
                             : mcore__dns_name_identical(&whole, name));
    CHECK(mcore__dns_name_ends_with(&whole, &lower));
}

FUZZ(dns_name) {
    char text[MCORE__DNS_NAME_TEXT_BYTES];
    mcore__dns_name name, again;
    mcore_status status = mcore__dns_name_parse((mcore_slice){bytes, len}, &name);
    CHECK(status == MCORE_OK || status == MCORE_EINVAL);
    if (status != MCORE_OK) CHECK(mcore__dns_name_label_count(&name) == 0);
    size_t text_len = mcore__dns_name_format(&name, text);
    CHECK(text_len > 0 && text_len < sizeof text && strlen(text) == text_len);
    for (size_t i = 0; i < text_len; i++) CHECK(text[i] >= 0x20 && text[i] <= 0x7e);
    CHECK(mcore__dns_name_parse((mcore_slice){text, text_len}, &again) == MCORE_OK);
    CHECK(mcore__dns_name_identical(&name, &again));
    check_parts(&name);
}
