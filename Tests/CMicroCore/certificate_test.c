/* Certificates that are issued, seen through OpenSSL's eyes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "mcore/allocator.h"
#include "mcore/certificate.h"
#include "test.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <time.h>

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

static mcore_slice text(const char *t) { return (mcore_slice){t, strlen(t)}; }

static mcore_certificate_plan authority_plan(const mcore_certificate *issuer, uint32_t path) {
    mcore_certificate_plan plan = {.struct_size = sizeof plan,
                                   .is_authority = 1,
                                   .path_length = path,
                                   .lifetime_s = 86400,
                                   .common_name = TEXT("An authority")};
    if (issuer) {
        plan.issuer_certificate = text(issuer->text);
        plan.issuer_key = text(issuer->key);
    }
    return plan;
}

static const mcore_slice usual_names[] = {TEXT("db.example"), TEXT("10.0.0.7"), TEXT("::1"),
                                          TEXT("spiffe://example.org/db")};

static mcore_certificate_plan leaf_plan(const mcore_certificate *issuer) {
    mcore_certificate_plan plan = authority_plan(issuer, 0);
    plan.is_authority = 0;
    plan.usages = MCORE_CERTIFICATE_SERVER | MCORE_CERTIFICATE_CLIENT;
    plan.lifetime_s = 600;
    plan.common_name = TEXT("db");
    plan.names = usual_names;
    plan.name_count = 4;
    return plan;
}

static mcore_certificate issue(mcore_certificate_plan plan) {
    mcore_certificate out;
    char detail[200];
    mcore_status status = mcore_certificate_issue(&plan, &out, detail, sizeof detail);
    if (status != MCORE_OK) fprintf(stderr, "it says: \"%s\"\n", detail);
    CHECK_INT(status, MCORE_OK);
    CHECK_INT(detail[0], 0);
    return out;
}

static void refused(mcore_certificate_plan plan, mcore_status wanted, const char *says) {
    mcore_certificate out;
    char detail[200];
    CHECK_INT(mcore_certificate_issue(&plan, &out, detail, sizeof detail), wanted);
    if (!strstr(detail, says)) fprintf(stderr, "it says: \"%s\"\n", detail);
    CHECK(strstr(detail, says));
}

static X509 *parse(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    CHECK(x509);
    return x509;
}

static int verifies(const char *root, const char *middle, const char *leaf, int purpose) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *trusted = parse(root), *end = parse(leaf), *between = middle ? parse(middle) : NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    if (between) sk_X509_push(chain, between);
    X509_STORE_add_cert(store, trusted);
    X509_STORE_CTX_init(ctx, store, end, chain);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
    int good = X509_verify_cert(ctx) == 1;
    if (!good)
        fprintf(stderr, "%s\n", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_free(chain);
    X509_free(trusted);
    X509_free(between);
    X509_free(end);
    return good;
}

TEST(a_chain_of_three_is_good) {
    mcore_certificate root = issue(authority_plan(NULL, 1));
    mcore_certificate middle = issue(authority_plan(&root, 0));
    mcore_certificate leaf = issue(leaf_plan(&middle));
    CHECK(verifies(root.text, middle.text, leaf.text, X509_PURPOSE_SSL_SERVER));
    CHECK(verifies(root.text, middle.text, leaf.text, X509_PURPOSE_SSL_CLIENT));
    X509 *x509 = parse(leaf.text);
    CHECK(X509_check_host(x509, "db.example", 0, 0, NULL) == 1);
    CHECK(X509_check_ip_asc(x509, "10.0.0.7", 0) == 1);
    CHECK(X509_check_ip_asc(x509, "::1", 0) == 1);
    CHECK(X509_check_ca(x509) == 0);
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    CHECK_INT(sk_GENERAL_NAME_num(names), 4);
    CHECK_INT(sk_GENERAL_NAME_value(names, 3)->type, GEN_URI);
    GENERAL_NAMES_free(names);
    X509_free(x509);
    x509 = parse(middle.text);
    CHECK_INT(X509_get_pathlen(x509), 0);
    X509_free(x509);
    int64_t expiry;
    CHECK_INT(mcore_certificate_expiry(text(leaf.text), &expiry), MCORE_OK);
    CHECK(expiry - (int64_t)time(NULL) > 590 && expiry - (int64_t)time(NULL) <= 600);
    mcore_certificate again = issue(leaf_plan(&middle));
    CHECK(strcmp(again.text, leaf.text) != 0 && strcmp(again.key, leaf.key) != 0);
    mcore_certificate_free(&again);
    mcore_certificate_free(&leaf);
    mcore_certificate_free(&middle);
    mcore_certificate_free(&root);
}

TEST(issuers_keep_to_what_they_may) {
    mcore_certificate root = issue(authority_plan(NULL, 1));
    mcore_certificate middle = issue(authority_plan(&root, 0));
    mcore_certificate leaf = issue(leaf_plan(&middle));
    refused(authority_plan(&root, 1), MCORE_ETLS, "may not have such an authority below it");
    refused(authority_plan(&middle, 0), MCORE_ETLS, "may not have such an authority below it");
    refused(leaf_plan(&leaf), MCORE_ETLS, "the issuer is not an authority");
    mcore_certificate_plan plan = leaf_plan(&root);
    plan.issuer_key = text(middle.key);
    refused(plan, MCORE_ETLS, "does not belong to its certificate");
    plan = leaf_plan(&middle); /* not beyond its issuer */
    plan.lifetime_s = 9 * 86400;
    mcore_certificate longer = issue(plan);
    int64_t its, issuers;
    CHECK_INT(mcore_certificate_expiry(text(longer.text), &its), MCORE_OK);
    CHECK_INT(mcore_certificate_expiry(text(middle.text), &issuers), MCORE_OK);
    CHECK_INT(its, issuers);
    mcore_certificate_free(&longer);
    mcore_certificate_free(&leaf);
    mcore_certificate_free(&middle);
    mcore_certificate_free(&root);
}

TEST(a_request_keeps_its_key_and_names) {
    mcore_certificate root = issue(authority_plan(NULL, 0)), request, out;
    mcore_certificate_plan plan = leaf_plan(NULL);
    char detail[200];
    CHECK_INT(mcore_certificate_request(&plan, &request, detail, sizeof detail), MCORE_OK);
    CHECK(strstr(request.text, "BEGIN CERTIFICATE REQUEST"));
    plan = leaf_plan(&root);
    plan.request = text(request.text);
    plan.names = NULL;
    plan.name_count = 0;
    out = issue(plan);
    CHECK(!out.key);
    CHECK(verifies(root.text, NULL, out.text, X509_PURPOSE_SSL_SERVER));
    X509 *x509 = parse(out.text);
    CHECK(X509_check_host(x509, "db.example", 0, 0, NULL) == 1);
    BIO *bio = BIO_new_mem_buf(request.key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    CHECK(X509_check_private_key(x509, key) == 1);
    EVP_PKEY_free(key);
    BIO_free(bio);
    X509_free(x509);
    mcore_certificate_free(&out);

    plan.names = usual_names + 1; /* the issuer's word counts */
    plan.name_count = 1;
    out = issue(plan);
    x509 = parse(out.text);
    CHECK(X509_check_host(x509, "db.example", 0, 0, NULL) != 1);
    CHECK(X509_check_ip_asc(x509, "10.0.0.7", 0) == 1);
    X509_free(x509);
    mcore_certificate_free(&out);

    char *middle = request.text + strlen(request.text) / 2; /* somebody changes it */
    for (char *at = middle; at < middle + 8; at++)
        if (*at != '\n') *at = *at == 'A' ? 'B' : 'A';
    mcore_certificate broken;
    mcore_status status = mcore_certificate_issue(&plan, &broken, detail, sizeof detail);
    CHECK(status == MCORE_ETLS || status == MCORE_EINVAL);
    CHECK(strstr(detail, "the request is"));
    plan.request = TEXT("nonsense");
    refused(plan, MCORE_EINVAL, "the request is none");
    mcore_certificate_free(&request);
    mcore_certificate_free(&root);
}

TEST(bad_plans_are_refused) {
    mcore_certificate root = issue(authority_plan(NULL, 0)), out;
    mcore_certificate_plan plan = leaf_plan(&root);
    CHECK_INT(mcore_certificate_issue(NULL, &out, NULL, 0), MCORE_EINVAL);
    plan.struct_size = 8;
    refused(plan, MCORE_EINVAL, "");
    plan = leaf_plan(&root);
    plan.common_name.len = 0;
    refused(plan, MCORE_EINVAL, "the common name");
    plan.common_name = TEXT("two\nlines");
    refused(plan, MCORE_EINVAL, "the common name");
    plan = leaf_plan(&root);
    plan.lifetime_s = 0;
    refused(plan, MCORE_EINVAL, "the lifetime");
    plan = leaf_plan(&root);
    plan.usages = 0;
    refused(plan, MCORE_EINVAL, "servers, clients or both");
    plan.usages = 4;
    refused(plan, MCORE_EINVAL, "servers, clients or both");
    plan = leaf_plan(&root);
    plan.issuer_key.len = 0;
    refused(plan, MCORE_EINVAL, "an issuer has");
    plan = leaf_plan(&root);
    plan.issuer_key = TEXT("x");
    refused(plan, MCORE_EINVAL, "the issuer's key is none");
    plan.issuer_certificate = TEXT("x");
    refused(plan, MCORE_EINVAL, "the issuer's certificate is none");
    mcore_slice bad[] = {TEXT("two words")};
    plan = leaf_plan(&root);
    plan.names = bad;
    plan.name_count = 1;
    refused(plan, MCORE_EINVAL, "a name is empty");
    bad[0] = (mcore_slice){"a\0b", 3};
    refused(plan, MCORE_EINVAL, "a name is empty");
    plan.name_count = 65;
    refused(plan, MCORE_EINVAL, "more than 64");
    int64_t seconds;
    CHECK_INT(mcore_certificate_expiry(TEXT("x"), &seconds), MCORE_EINVAL);
    mcore_certificate_free(&root);
}

static long until_failure, live;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (--until_failure == 0) return NULL;
    live++;
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self, (void)ptr, (void)size;
    return NULL;
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    live -= ptr != NULL;
    free(ptr);
}

TEST(failed_allocations_are_survived) {
    mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    mcore_certificate_plan plan = leaf_plan(NULL);
    for (int n = 1; n < 4; n++) {
        mcore_certificate out = {0};
        until_failure = n;
        mcore_set_allocator(&failing);
        mcore_status status = mcore_certificate_issue(&plan, &out, NULL, 0);
        CHECK_INT(status, n < 3 ? MCORE_ENOMEM : MCORE_OK);
        if (status == MCORE_OK) mcore_certificate_free(&out);
        mcore_set_allocator(NULL);
        CHECK_INT(live, 0);
    }
}

int main(int argc, char **argv) { return test_main(argc, argv); }
