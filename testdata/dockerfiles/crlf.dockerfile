# escape=\
FROM d
RUN a \
  b
RUN cat <<EOF
RUN no
EOF
RUN <<-A cat
	RUN no
	A

RUN npm ci
