#include "base/file.h"
#include "internal.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

enum { PEM_SIZE_MAX = 1 << 20 };

const char ES_HTTP_TLS_PRIORITY[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

static es_status read_pem(es_http_server *server, const char *path, char **out, es_error *err)
{
    size_t size = 0;
    return es_file_read(server->arena, path, PEM_SIZE_MAX, out, &size, err);
}

/* The library would only say that starting failed; here the file is named. */
static es_status check_pair(const es_http_server *server, es_error *err)
{
    const es_http_tls *tls = &server->opts.tls;
    gnutls_certificate_credentials_t pair;
    gnutls_datum_t certificate = {(unsigned char *)server->certificate_pem,
                                  (unsigned)strlen(server->certificate_pem)};
    gnutls_datum_t key = {(unsigned char *)server->key_pem, (unsigned)strlen(server->key_pem)};
    if (gnutls_certificate_allocate_credentials(&pair) != 0)
        return es_fail(err, ES_ERR_NOMEM, "no memory for TLS credentials");
    int code = gnutls_certificate_set_x509_key_mem(pair, &certificate, &key, GNUTLS_X509_FMT_PEM);
    es_status status = ES_OK;
    if (code < 0)
        status = es_fail(err, ES_ERR_ARG, "certificate '%s' with key '%s': %s",
                         tls->certificate_file, tls->key_file, gnutls_strerror(code));
    if (status == ES_OK && server->ca_pem != NULL) {
        gnutls_datum_t ca = {(unsigned char *)server->ca_pem, (unsigned)strlen(server->ca_pem)};
        code = gnutls_certificate_set_x509_trust_mem(pair, &ca, GNUTLS_X509_FMT_PEM);
        if (code <= 0)
            status = es_fail(err, ES_ERR_ARG, "client CA '%s' holds no certificate: %s",
                             tls->client_ca_file, code < 0 ? gnutls_strerror(code) : "empty");
    }
    gnutls_certificate_free_credentials(pair);
    return status;
}

es_status es_http_tls_read(es_http_server *server, es_error *err)
{
    const es_http_tls *tls = &server->opts.tls;
    if (tls->certificate_file == NULL && tls->key_file == NULL && tls->client_ca_file == NULL)
        return ES_OK;
    if (tls->certificate_file == NULL || tls->key_file == NULL)
        return es_fail(err, ES_ERR_ARG, "TLS needs both certificate_file and key_file");
    ES_TRY(es_within(err, read_pem(server, tls->certificate_file, &server->certificate_pem, err),
                     "TLS certificate"));
    ES_TRY(es_within(err, read_pem(server, tls->key_file, &server->key_pem, err), "TLS key"));
    if (tls->client_ca_file != NULL)
        ES_TRY(es_within(err, read_pem(server, tls->client_ca_file, &server->ca_pem, err),
                         "TLS client CA"));
    return check_pair(server, err);
}

bool es_http_tls_client_good(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned problems = 0;
    if (info == NULL || info->tls_session == NULL)
        return false;
    gnutls_session_t session = (gnutls_session_t)info->tls_session;
    char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st wanted = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                    .data = (unsigned char *)purpose};
    if (gnutls_certificate_verify_peers(session, &wanted, 1, &problems) != 0)
        return false;
    return problems == 0;
}
