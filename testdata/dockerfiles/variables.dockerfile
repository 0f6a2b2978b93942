FROM d
RUN echo ${#x} <<EOF
RUN echo "${a[0]}" <<EOF
RUN echo "\${a[0]}" ${x#y} <<EOF
RUN no
EOF
RUN npm ci
