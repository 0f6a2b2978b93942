# Escape=`
FROM d
RUN a `
  b
RUN a\
RUN cat <<EOF `
  x
RUN no
EOF
RUN c
