; Guile's client over GnuTLS.
(use-modules (web client) (web response) (rnrs bytevectors))
(call-with-values (lambda () (http-get "https://git.test/echo"))
  (lambda (response body) (display (if (bytevector? body) (utf8->string body) body))))
