#include "tls/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

mcore_status mcore__sha256_of_file(int fd, uint8_t out[MCORE__SHA256_BYTES]) {
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (!digest) return MCORE_ENOMEM;
    int good = EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    uint8_t piece[16384];
    ssize_t got = 0;
    while (good && (got = read(fd, piece, sizeof piece)) != 0) {
        if (got > 0)
            good = EVP_DigestUpdate(digest, piece, (size_t)got);
        else if (errno != EINTR)
            break;
    }
    good = good && got == 0 && EVP_DigestFinal_ex(digest, out, NULL);
    EVP_MD_CTX_free(digest);
    return good ? MCORE_OK : MCORE_EIO;
}
