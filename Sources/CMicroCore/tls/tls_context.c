#include "base/memory.h"
#include "tls/tls_internal.h"

#include <string.h>

enum { SESSIONS_LIMIT = 65536, SERVER_NAME_BYTES_MAX = 255, PROTOCOL_BYTES_MAX = 255 };

typedef struct mcore__tls_attachment {
    struct mcore__tls_attachment *next;
    const void *key;
    max_align_t piece[];
} attachment;

/* ---- Options ---- */

void mcore_tls_options_default(uint32_t role, mcore_tls_options *out_options) {
    *out_options = (mcore_tls_options){
        .struct_size = sizeof *out_options,
        .role = role,
        .version_min = MCORE_TLS_1_2,
        .version_max = MCORE_TLS_1_3,
        .handshake_timeout_ms = 5000,
        .sessions_max = 256,
    };
}

/* What the caller does not know of has its default. */
static const char *read_options(const mcore_tls_options *from, mcore_tls_options *out) {
    if (!from || from->struct_size < offsetof(mcore_tls_options, version_min))
        return "options: no struct_size, role and material";
    mcore_tls_options_default(from->role, out);
    size_t known = from->struct_size < sizeof *out ? from->struct_size : sizeof *out;
    memcpy(out, from, known);
    out->struct_size = sizeof *out;
    if (out->role != MCORE_TLS_SERVER && out->role != MCORE_TLS_CLIENT) return "options: role";
    if (out->version_min < MCORE_TLS_1_2 || out->version_max > MCORE_TLS_1_3 ||
        out->version_min > out->version_max)
        return "options: version_min to version_max must lie within TLS 1.2 to 1.3";
    if (!out->handshake_timeout_ms) return "options: handshake_timeout_ms must not be 0";
    if (out->sessions_max > SESSIONS_LIMIT) return "options: sessions_max must be at most 65536";
    if (out->server_name.len > SERVER_NAME_BYTES_MAX ||
        (out->server_name.len && memchr(out->server_name.data, 0, out->server_name.len)))
        return "options: server_name must be a host name or an IP address";
    if (out->protocol.len > PROTOCOL_BYTES_MAX)
        return "options: protocol must have at most 255 bytes";
    if (out->role == MCORE_TLS_CLIENT && (out->client_certificates || out->allow_plaintext))
        return "options: client_certificates and allow_plaintext are for servers";
    if (out->no_protocol && (out->role == MCORE_TLS_SERVER || out->protocol.len))
        return "options: no_protocol is for clients, and without a protocol";
    return NULL;
}

/* ---- Material that is kept for the next reload ---- */

/* The items of the material, one after the other. */
static mcore_slice *item_of(mcore_tls_material *material, unsigned index) {
    mcore_slice *const items[] = {
        &material->certificate, &material->certificate_file, &material->key, &material->key_file,
        &material->ca,          &material->ca_file,
    };
    return items[index];
}

enum { MATERIAL_ITEMS = 6 };

static void free_material(mcore_tls_material *material) {
    for (unsigned i = 0; i < MATERIAL_ITEMS; i++) {
        mcore_slice *item = item_of(material, i);
        if (item->data) OPENSSL_cleanse((void *)(uintptr_t)item->data, item->len);
        mcore__free((void *)(uintptr_t)item->data);
    }
    *material = (mcore_tls_material){.struct_size = sizeof *material};
}

static mcore_status copy_material(const mcore_tls_material *from, mcore_tls_material *out) {
    mcore_tls_material read = {.struct_size = sizeof read};
    if (from) {
        size_t known = from->struct_size < sizeof read ? from->struct_size : sizeof read;
        memcpy(&read, from, known);
    }
    *out = (mcore_tls_material){.struct_size = sizeof *out};
    for (unsigned i = 0; i < MATERIAL_ITEMS; i++) {
        mcore_slice item = *item_of(&read, i);
        if (!item.len) continue;
        char *copy = mcore__strndup(item.data, item.len);
        if (!copy) {
            free_material(out);
            return MCORE_ENOMEM;
        }
        *item_of(out, i) = (mcore_slice){copy, item.len};
    }
    return MCORE_OK;
}

/* A server that asks for certificates has to know who may have signed them: the authorities of the
 * system have signed half the world. */
static const char *check_material(const mcore_tls_options *options,
                                  const mcore_tls_material *material) {
    int has_authorities = material->ca.len || material->ca_file.len;
    if (options->role != MCORE_TLS_SERVER) return NULL;
    if (options->client_certificates && !has_authorities)
        return "client certificates are required, but no CA for them is given";
    if (!options->client_certificates && has_authorities)
        return "a CA for client certificates is given, but none are required";
    return NULL;
}

/* ---- Life ---- */

static int create_locks(mcore_tls_context *context) {
    if (pthread_mutex_init(&context->reloading, NULL) != 0) return 0;
    if (pthread_mutex_init(&context->lock, NULL) == 0) return 1;
    pthread_mutex_destroy(&context->reloading);
    return 0;
}

static void free_context(mcore_tls_context *context) {
    if (context->current) mcore__tls_generation_release(context->current);
    while (context->attachments) {
        attachment *first = context->attachments;
        context->attachments = first->next;
        mcore__free(first);
    }
    free_material(&context->files);
    mcore__free((void *)(uintptr_t)context->options.server_name.data);
    mcore__free((void *)(uintptr_t)context->options.protocol.data);
    BIO_meth_free(context->bio);
    pthread_mutex_destroy(&context->reloading);
    pthread_mutex_destroy(&context->lock);
    mcore__free(context);
}

/* 1 unless there is no memory. */
static int copy_text(mcore_slice from, mcore_slice *out) {
    *out = (mcore_slice){NULL, 0};
    if (!from.len) return 1;
    *out = (mcore_slice){mcore__strndup(from.data, from.len), from.len};
    return out->data != NULL;
}

static mcore_status new_context(const mcore_tls_options *options, mcore_tls_context **out_context) {
    mcore_tls_context *context = mcore__zalloc(sizeof *context);
    if (!context) return MCORE_ENOMEM;
    if (!create_locks(context)) {
        mcore__free(context);
        return MCORE_ENOMEM;
    }
    atomic_init(&context->references, 1);
    context->options = *options;
    context->options.material = NULL;
    int copied = copy_text(options->server_name, &context->options.server_name) &
                 copy_text(options->protocol, &context->options.protocol);
    context->bio = mcore__tls_session_bio();
    mcore_status status = copy_material(options->material, &context->files);
    if (status != MCORE_OK || !context->bio || !copied) {
        free_context(context);
        return MCORE_ENOMEM;
    }
    *out_context = context;
    return MCORE_OK;
}

mcore_status mcore_tls_context_create(const mcore_tls_options *options,
                                      mcore_tls_context **out_context, char *detail,
                                      size_t detail_size) {
    mcore_tls_options read;
    mcore_tls_context *context;
    mcore__tls_say(detail, detail_size, "%s", "");
    if (!out_context) return MCORE_EINVAL;
    const char *problem = read_options(options, &read);
    mcore_status status = problem ? MCORE_EINVAL : new_context(&read, &context);
    if (status != MCORE_OK) {
        mcore__tls_say(detail, detail_size, "%s", problem ? problem : mcore_status_text(status));
        return status;
    }
    status = mcore_tls_context_reload(context, NULL, detail, detail_size);
    if (status != MCORE_OK) {
        free_context(context); /* it was not made: on_released is for those that were */
        return status;
    }
    *out_context = context;
    return MCORE_OK;
}

void mcore_tls_context_retain(mcore_tls_context *context) {
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
}

void mcore_tls_context_release(mcore_tls_context *context) {
    if (!context) return;
    if (atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1) return;
    void (*released)(void *ctx) = context->options.on_released;
    void *ctx = context->options.ctx;
    free_context(context);
    if (released) released(ctx);
}

/* ---- Reload ---- */

static void make_current(mcore_tls_context *context, mcore__tls_generation *generation) {
    pthread_mutex_lock(&context->lock);
    mcore__tls_generation *old = context->current;
    context->current = generation;
    pthread_mutex_unlock(&context->lock);
    if (old) mcore__tls_generation_release(old);
}

static mcore_status reload(mcore_tls_context *context, mcore_tls_material *material, char *detail,
                           size_t detail_size) {
    uint64_t number = context->current ? context->current->number + 1 : 1;
    const char *problem = check_material(&context->options, material);
    if (problem) {
        mcore__tls_say(detail, detail_size, "%s", problem);
        return MCORE_EINVAL;
    }
    mcore__tls_generation *generation;
    mcore_status status = mcore__tls_generation_create(&context->options, material, number,
                                                       &generation, detail, detail_size);
    if (status == MCORE_OK) make_current(context, generation);
    return status;
}

mcore_status mcore_tls_context_reload(mcore_tls_context *context,
                                      const mcore_tls_material *material, char *detail,
                                      size_t detail_size) {
    mcore_tls_material copy;
    mcore__tls_say(detail, detail_size, "%s", "");
    if (!context) return MCORE_EINVAL;
    mcore_status status = material ? copy_material(material, &copy) : MCORE_OK;
    if (status == MCORE_OK) {
        pthread_mutex_lock(&context->reloading);
        status = reload(context, material ? &copy : &context->files, detail, detail_size);
        if (material) {
            mcore_tls_material *out = status == MCORE_OK ? &context->files : &copy;
            free_material(out);
            if (status == MCORE_OK) context->files = copy;
        }
        pthread_mutex_unlock(&context->reloading);
    }
    if (status != MCORE_OK && detail && detail_size && !detail[0])
        mcore__tls_say(detail, detail_size, "%s", mcore_status_text(status));
    return status;
}

/* ---- For sessions and those who carry them ---- */

mcore__tls_generation *mcore__tls_context_current(mcore_tls_context *context) {
    pthread_mutex_lock(&context->lock);
    mcore__tls_generation *current = context->current;
    atomic_fetch_add_explicit(&current->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&context->lock);
    return current;
}

const mcore_tls_options *mcore__tls_context_options(const mcore_tls_context *context) {
    return &context->options;
}

void mcore__tls_context_count_plaintext(mcore_tls_context *context) {
    atomic_fetch_add_explicit(&context->plaintext, 1, memory_order_relaxed);
}

void mcore__tls_context_count_failure(mcore_tls_context *context) {
    atomic_fetch_add_explicit(&context->failures, 1, memory_order_relaxed);
}

void *mcore__tls_context_attachment(mcore_tls_context *context, const void *key, size_t size,
                                    void (*init)(void *piece, mcore_tls_context *context,
                                                 const void *key)) {
    pthread_mutex_lock(&context->lock);
    attachment *found = context->attachments;
    while (found && found->key != key) found = found->next;
    if (!found) {
        found = mcore__zalloc(sizeof *found + size);
        if (found) {
            found->key = key;
            init(found->piece, context, key);
            found->next = context->attachments;
            context->attachments = found;
        }
    }
    pthread_mutex_unlock(&context->lock);
    return found ? found->piece : NULL;
}

void mcore_tls_context_read_stats(mcore_tls_context *context, mcore_tls_stats *out_stats) {
    mcore__tls_generation *generation = mcore__tls_context_current(context);
    mcore_tls_stats stats = {
        .struct_size = sizeof stats,
        .generation = generation->number,
        .handshakes = atomic_load_explicit(&context->handshakes, memory_order_relaxed),
        .resumed = atomic_load_explicit(&context->resumed, memory_order_relaxed),
        .failures = atomic_load_explicit(&context->failures, memory_order_relaxed),
        .plaintext = atomic_load_explicit(&context->plaintext, memory_order_relaxed),
        .expires_at = generation->expires_at,
    };
    mcore__tls_generation_release(generation);
    size_t known = out_stats->struct_size < sizeof stats ? out_stats->struct_size : sizeof stats;
    uint32_t size = out_stats->struct_size;
    memcpy(out_stats, &stats, known);
    out_stats->struct_size = size;
}
