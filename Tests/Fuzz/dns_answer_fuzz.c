/* Answers of name servers: what is kept of one is bounded by what was asked for, and by the
 * message. */
#include "fuzz.h"

#include "dns/answer.h"

static mcore__dns_asked question_of(mcore_slice message, fuzz_choices *choices) {
    static const uint16_t types[] = {MCORE__DNS_A, MCORE__DNS_AAAA, MCORE__DNS_SRV, MCORE__DNS_TXT};
    mcore__dns_asked asked = {.ttl_s = UINT32_MAX, .choice = {1, 2}};
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_question question;
    asked.type = types[fuzz_choice(choices, 4)];
    asked.count_max = fuzz_choice(choices, 2) ? 2 : MCORE__DNS_ADDRESSES_LIMIT;
    if (mcore__dns_read_begin(&reader, message, &header) == MCORE_OK &&
        mcore__dns_read_question(&reader, &question) == MCORE_OK) {
        asked.name = question.name;
        if (fuzz_choice(choices, 2)) asked.type = question.type;
    }
    for (int i = 0; i < 4; i++)
        if (asked.type == types[i]) return asked;
    asked.type = MCORE__DNS_A;
    return asked;
}

static void check_data(const mcore__dns_data *data, const mcore__dns_asked *asked) {
    mcore_slice text = {data->text, data->text_len};
    CHECK(data->status == MCORE_OK || data->status == MCORE_ENOENT);
    CHECK(data->address_count <= asked->count_max && data->target_count <= asked->count_max);
    CHECK(data->text_len == 0 || asked->type == MCORE__DNS_TXT);
    CHECK(mcore__dns_strings_whole(text));
    for (uint32_t i = 0; i < data->address_count; i++)
        CHECK(data->addresses[i].version == (asked->type == MCORE__DNS_A ? 4 : 6));
    for (uint32_t i = 0; i < data->target_count; i++) {
        CHECK(i == 0 || data->targets[i - 1].priority <= data->targets[i].priority);
        CHECK(data->targets[i].glue_count <= MCORE__DNS_GLUE_MAX);
        CHECK(mcore__dns_name_label_count(&data->targets[i].name) > 0);
    }
    if (data->status == MCORE_OK)
        CHECK(data->address_count || data->target_count || asked->type == MCORE__DNS_TXT);
}

FUZZ(dns_answer) {
    mcore_slice message = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    mcore__dns_asked asked = question_of(message, &choices), before = asked;
    mcore__dns_data *data;
    uint32_t rcode;
    mcore_status readable = mcore__dns_rcode(message, &rcode);
    fuzz_allocations();
    mcore_status status = mcore__dns_answer_read(message, &asked, &data);
    size_t allocations = fuzz_allocations();
    CHECK(fuzz_memory_peak() <= 4096 + 64 * len);
    CHECK(status == MCORE_OK || (status == MCORE_EPROTO && !data));
    if (readable != MCORE_OK) CHECK(status == MCORE_EPROTO);
    if (status == MCORE_OK) CHECK(data || asked.links > before.links);
    if (data) check_data(data, &asked);
    mcore__dns_data_free(data);
    if (!allocations) return;
    fuzz_fail_allocation(fuzz_choice(&choices, (uint32_t)allocations));
    CHECK(mcore__dns_answer_read(message, &before, &data) == MCORE_ENOMEM && !data);
    fuzz_fail_allocation(SIZE_MAX);
}
