/* Certificates made on the spot, for tests: an authority and what it signs, as PEM files. */
#ifndef ES_HTTP_CERTIFICATES_H
#define ES_HTTP_CERTIFICATES_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

typedef struct certificate {
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
    char certificate_file[256], key_file[256];
} certificate;

static inline void certificate_write(const char *path, const gnutls_datum_t *pem)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(pem->data, 1, pem->size, file), pem->size);
    assert_int_equal(fclose(file), 0);
}

/* Signed by authority; NULL: by itself, as an authority. For 127.0.0.1. */
static inline void certificate_make(certificate *out, const char *folder, const char *name,
                                    const certificate *authority)
{
    static const unsigned char LOOPBACK[] = {127, 0, 0, 1};
    unsigned char serial = (unsigned char)(1 + strlen(name));
    gnutls_datum_t pem;
    assert_int_equal(gnutls_x509_privkey_init(&out->key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(out->key, GNUTLS_PK_ECDSA,
                                                  GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                                  0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&out->crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(out->crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(out->crt, &serial, 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(out->crt, time(NULL) - 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(out->crt, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_dn_by_oid(out->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                                   (unsigned)strlen(name)),
                     0);
    assert_int_equal(gnutls_x509_crt_set_key(out->crt, out->key), 0);
    assert_int_equal(gnutls_x509_crt_set_basic_constraints(out->crt, authority == NULL, -1), 0);
    if (authority != NULL)
        assert_int_equal(gnutls_x509_crt_set_subject_alt_name(out->crt, GNUTLS_SAN_IPADDRESS,
                                                              LOOPBACK, 4, GNUTLS_FSAN_SET),
                         0);
    else
        assert_int_equal(gnutls_x509_crt_set_key_usage(out->crt, GNUTLS_KEY_KEY_CERT_SIGN), 0);
    assert_int_equal(gnutls_x509_crt_sign2(out->crt, authority != NULL ? authority->crt : out->crt,
                                           authority != NULL ? authority->key : out->key,
                                           GNUTLS_DIG_SHA256, 0),
                     0);
    (void)snprintf(out->certificate_file, sizeof out->certificate_file, "%s/%s.pem", folder, name);
    (void)snprintf(out->key_file, sizeof out->key_file, "%s/%s.key", folder, name);
    assert_int_equal(gnutls_x509_crt_export2(out->crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    certificate_write(out->certificate_file, &pem);
    gnutls_free(pem.data);
    assert_int_equal(gnutls_x509_privkey_export2(out->key, GNUTLS_X509_FMT_PEM, &pem), 0);
    certificate_write(out->key_file, &pem);
    gnutls_free(pem.data);
}

static inline void certificate_done(certificate *done)
{
    (void)unlink(done->certificate_file);
    (void)unlink(done->key_file);
    gnutls_x509_crt_deinit(done->crt);
    gnutls_x509_privkey_deinit(done->key);
}

#endif
